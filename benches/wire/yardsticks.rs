//! What a hit and a miss are measured against, each as small as can be, and each run as a process
//! of its own: this program with a word.

mod bare_hyper;
mod bare_sdk;
mod bare_tonic;

use std::path::Path;
use tokio::net::TcpListener;

/// Becomes the yardstick of that name, for good.
pub async fn run(name: &str, argument: &str) {
    match name {
        "bare-hyper" => bare_hyper::serve(listen().await, read(argument)).await,
        "bare-tonic" => bare_tonic::serve(listen().await, read(argument)).await,
        "bare-sdk" => bare_sdk::read(argument).await,
        _ => panic!("there is no such yardstick"),
    }
}

/// On a port of the system's choice, which is told as the service tells it.
async fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address").to_string();
    eprintln!("{}", serde_json::json!({"message": "listening", "address": address, "admin_address": ""}));
    listener
}

fn read(file: &str) -> Vec<u8> {
    std::fs::read(Path::new(file)).expect("the answer lies there")
}
