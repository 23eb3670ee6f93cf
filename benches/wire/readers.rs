//! Callers that read a different session in each call, which h2load cannot.

use crate::process::Process;
use face_liveness_facade::proto::{
    GetLivenessResultRequest, GetLivenessResultResponse, face_liveness_service_client::FaceLivenessServiceClient,
};
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;
use tonic::transport::Channel;

type Client = FaceLivenessServiceClient<Channel>;

/// The same as h2load's.
const CONNECTIONS: usize = 8;
const CALLS_PER_CONNECTION: usize = 10;

pub async fn client(server: &Process) -> Client {
    FaceLivenessServiceClient::connect(format!("http://{}", server.address)).await.expect("the server listens")
}

pub fn request(session_id: String, view: i32) -> GetLivenessResultRequest {
    GetLivenessResultRequest { session_id, view, min_confidence: Some(80.0), ..Default::default() }
}

pub async fn read(client: &mut Client, request: GetLivenessResultRequest) -> GetLivenessResultResponse {
    client.get_liveness_result(request).await.expect("the call succeeds").into_inner()
}

/// Reads sessions, with 80 concurrent calls.
pub async fn read_all(server: &Process, ids: impl Iterator<Item = String> + Send + 'static) {
    let ids = Arc::new(Mutex::new(ids));
    let mut callers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let client = client(server).await;
        for _ in 0..CALLS_PER_CONNECTION {
            let (mut client, ids) = (client.clone(), Arc::clone(&ids));
            callers.spawn(async move {
                let next = || ids.lock().expect("no code panics while it holds this lock").next();
                while let Some(id) = next() {
                    read(&mut client, request(id, 1)).await;
                }
            });
        }
    }
    callers.join_all().await;
}
