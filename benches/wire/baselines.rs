//! Minimal servers and a client that hits and misses are compared with. Each is this program with
//! an argument, in a separate process.

mod bare_hyper;
mod bare_sdk;
mod bare_tonic;

use std::path::Path;
use tokio::net::TcpListener;

/// Runs a baseline until the process is killed.
pub async fn run(name: &str, argument: &str) {
    match name {
        "bare-hyper" => bare_hyper::serve(listen().await, read(argument)).await,
        "bare-tonic" => bare_tonic::serve(listen().await, read(argument)).await,
        "bare-sdk" => bare_sdk::read(argument).await,
        _ => panic!("there is no such baseline"),
    }
}

/// Listens on a free port, and logs the address as the service does.
async fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address").to_string();
    eprintln!("{}", serde_json::json!({"message": "listening", "address": address, "admin_address": ""}));
    listener
}

fn read(file: &str) -> Vec<u8> {
    std::fs::read(Path::new(file)).expect("the response file exists")
}
