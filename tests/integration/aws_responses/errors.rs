//! Results that are slightly out of range.

use super::{call, start};

#[tokio::test]
async fn a_confidence_within_a_thousandth_of_the_range_counts_as_its_end() {
    for (sent, expected) in [
        ("100.0000076", Ok(Some(100.0))),
        ("100.0009", Ok(Some(100.0))),
        ("-0.0000001", Ok(Some(0.0))),
        ("-0.0009", Ok(Some(0.0))),
        ("99.9999", Ok(Some(99.9999))),
        ("100.002", Err("UPSTREAM_MALFORMED".to_owned())),
        ("-0.002", Err("UPSTREAM_MALFORMED".to_owned())),
    ] {
        let running = start(move |read| read.succeed_with(sent)).await;
        let confidence = call(&running, 1).await.map(|response| response.result.expect("a result").confidence);
        assert_eq!(confidence, expected, "{sent}");
    }
}
