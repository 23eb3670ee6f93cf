//! A simulated AWS in which every session id exists and has succeeded. The simulator keeps only ten
//! thousand sessions, and `growth` needs a million.

use axum::{Json, Router, body::Bytes, extract::State};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const IMAGES: usize = 3;
pub const IMAGE_BYTES: usize = 100_000;

/// The prefix of the ids of sessions with images.
const IMAGES_PREFIX: &str = "face";

/// Starts the server, and returns its URL.
pub async fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
    let mut random = fastrand::Rng::with_seed(1);
    let bytes = || std::iter::repeat_with(|| random.u8(..)).take(IMAGE_BYTES).collect::<Vec<_>>();
    let images: Vec<_> = std::iter::repeat_with(bytes).take(IMAGES).map(image).collect();
    let routes = Router::new().fallback(read).with_state(images);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    endpoint
}

fn image(bytes: Vec<u8>) -> Value {
    let bounding_box = json!({"Width": 0.3, "Height": 0.5, "Left": 0.3, "Top": 0.2});
    json!({"Bytes": BASE64_STANDARD.encode(bytes), "BoundingBox": bounding_box})
}

async fn read(State(images): State<Vec<Value>>, request: Bytes) -> Json<Value> {
    let request: Value = serde_json::from_slice(&request).expect("the SDK sends JSON");
    let id = request["SessionId"].as_str().expect("it names a session");
    let mut response = json!({
        "SessionId": id, "Status": "SUCCEEDED", "Confidence": 99.5, "AuditImages": [],
        "Challenge": {"Type": "FaceMovementAndLightChallenge", "Version": "2.0.0"}, "Metadata": {"SDKType": "web"},
    });
    if id.starts_with(IMAGES_PREFIX) {
        response["ReferenceImage"] = images[0].clone();
        response["AuditImages"] = images[1..].into();
    }
    Json(response)
}

/// Returns the id of a session without images.
pub fn id_without_images(number: usize) -> String {
    format!("0123abcd-0000-4000-8000-{number:012x}")
}

/// Returns the id of a session with three images.
pub fn id_with_images(number: usize) -> String {
    format!("{IMAGES_PREFIX}0000-0000-4000-8000-{number:012x}")
}
