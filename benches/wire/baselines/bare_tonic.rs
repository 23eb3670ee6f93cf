//! A bare tonic method: the contract's own, with tonic's own codec and a fixed response.

#[allow(dead_code, clippy::all, reason = "generated")]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/baseline/faceliveness.v1.rs"));
}

use proto::{
    GetLivenessResultRequest, GetLivenessResultResponse,
    face_liveness_service_server::{FaceLivenessService, FaceLivenessServiceServer},
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

struct Fixed(GetLivenessResultResponse);

#[tonic::async_trait]
impl FaceLivenessService for Fixed {
    async fn get_liveness_result(
        &self,
        _: Request<GetLivenessResultRequest>,
    ) -> Result<Response<GetLivenessResultResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }
}

pub async fn serve(listener: TcpListener, message: Vec<u8>) {
    let response = prost::Message::decode(prost::bytes::Bytes::from(message)).expect("the file holds a response");
    let service = FaceLivenessServiceServer::new(Fixed(response));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder().add_service(service).serve_with_incoming(incoming).await.expect("the port is open");
}
