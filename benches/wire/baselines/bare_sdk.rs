//! The AWS SDK, which makes the call of a miss and ignores the response.

use aws_config::{BehaviorVersion, retry::RetryConfig};

/// Reads the sessions named on standard input, one after the other. Prints a line after each.
pub async fn read(_: &str) {
    let config =
        aws_config::defaults(BehaviorVersion::v2026_01_12()).retry_config(RetryConfig::disabled()).load().await;
    let client = aws_sdk_rekognition::Client::new(&config);
    eprintln!("{}", serde_json::json!({"message": "listening"}));
    for session in std::io::stdin().lines().map_while(Result::ok) {
        client
            .get_face_liveness_session_results()
            .session_id(session)
            .send()
            .await
            .expect("the simulated AWS responds");
        println!();
    }
}
