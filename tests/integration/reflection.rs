//! Reflection, as grpcurl and buf use it.

use crate::facade::Facade;
use tonic_reflection::pb::{v1, v1alpha};

const SYMBOLS: [&str; 4] =
    ["faceliveness.v1.FaceLivenessService", "google.rpc.ErrorInfo", "google.rpc.RetryInfo", "grpc.health.v1.Health"];

#[tokio::test]
async fn both_reflection_versions_describe_the_contract_and_the_error_details() {
    let facade = Facade::start(&[]).await;
    for symbol in SYMBOLS {
        use v1::{server_reflection_request::MessageRequest, server_reflection_response::MessageResponse};
        let mut client = v1::server_reflection_client::ServerReflectionClient::new(facade.channel().await);
        let symbol_request = MessageRequest::FileContainingSymbol(symbol.to_owned());
        let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(symbol_request) };
        let mut stream =
            client.server_reflection_info(tokio_stream::once(request)).await.expect("a stream").into_inner();
        let response = stream.message().await.expect("no error").expect("a response").message_response;
        assert!(matches!(response, Some(MessageResponse::FileDescriptorResponse(_))), "{symbol}: {response:?}");
    }
    for symbol in SYMBOLS {
        use v1alpha::{server_reflection_request::MessageRequest, server_reflection_response::MessageResponse};
        let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(facade.channel().await);
        let symbol_request = MessageRequest::FileContainingSymbol(symbol.to_owned());
        let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(symbol_request) };
        let mut stream =
            client.server_reflection_info(tokio_stream::once(request)).await.expect("a stream").into_inner();
        let response = stream.message().await.expect("no error").expect("a response").message_response;
        assert!(matches!(response, Some(MessageResponse::FileDescriptorResponse(_))), "{symbol}: {response:?}");
    }
}

#[tokio::test]
async fn reflection_can_be_disabled() {
    let facade = Facade::start(&["--reflection", "false"]).await;
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(facade.channel().await);
    let status = client.server_reflection_info(tokio_stream::empty()).await.expect_err("not served");
    assert_eq!(status.code(), tonic::Code::Unimplemented);
}

#[tokio::test]
async fn a_reflection_error_does_not_repeat_the_request() {
    use v1::server_reflection_request::MessageRequest;
    let facade = Facade::start(&[]).await;
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(facade.channel().await);
    let symbol_request = MessageRequest::FileContainingSymbol("unknown.Symbol".to_owned());
    let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(symbol_request) };
    let mut stream = client.server_reflection_info(tokio_stream::once(request)).await.expect("a stream").into_inner();
    let status = stream.message().await.expect_err("the symbol is unknown");
    assert_eq!((status.code(), status.message()), (tonic::Code::NotFound, ""));
}
