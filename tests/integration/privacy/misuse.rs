//! Callers that send a session id in the wrong place, or that violate the protocol.

use super::{
    caller::Caller,
    planted::{self, id},
    watched_program::exchange,
};
use face_liveness_facade::proto::GetLivenessResultRequest;
use prost::Message;
use tonic::{
    Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{AsciiMetadataKey, MetadataValue},
    transport::Channel,
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};

const NUMBER: usize = 0x400;
const METHOD: &str = "/faceliveness.v1.FaceLivenessService/GetLivenessResult";

/// Sends malformed fields and messages.
pub async fn requests(caller: &Caller) {
    let valid = || planted::full(NUMBER);
    let id = id(NUMBER);
    let ids = [id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}"), format!("{id} "), id.repeat(200)];
    let ids = ids.map(|session_id| GetLivenessResultRequest { session_id, ..valid() });
    let wait = Some(prost_types::Duration { seconds: -1, nanos: 0 });
    let others = [
        GetLivenessResultRequest { view: 99, ..valid() },
        GetLivenessResultRequest { min_confidence: Some(0.5), ..valid() },
        GetLivenessResultRequest { wait, ..valid() },
        GetLivenessResultRequest { max_result_age: wait, ..valid() },
    ];
    for request in ids.into_iter().chain(others) {
        caller.call(request).await.expect_err("it is malformed");
    }
    // Sends a message whose wait has another type, and one whose id is not text.
    let any = prost_types::Any { type_url: id.clone(), value: planted::words(&id).into_bytes() };
    call(caller, METHOD, any).await;
    call(caller, METHOD, planted::image()).await;
    for path in [format!("/{id}/{id}"), format!("/faceliveness.v1.FaceLivenessService/{id}")] {
        call(caller, &path, id.clone()).await;
    }
}

/// Sends headers of gRPC and of other protocols, and too many of them.
pub async fn headers(caller: &Caller) {
    let id = id(NUMBER);
    let much = planted::words(&id);
    let many = [much.repeat(6), much.repeat(30)];
    for (name, value) in [
        ("authorization", &id),
        ("baggage", &format!("session={id}")),
        ("grpc-accept-encoding", &id),
        ("grpc-encoding", &id),
        ("grpc-timeout", &id),
        ("traceparent", &id),
        ("traceparent", &format!("00-{}-{}-01", id.replace('-', " "), &id[..16])),
        ("x-forwarded-client-cert", &format!("URI=spiffe://shop/{id}")),
        ("x-request-id", &id),
        ("x-session-id", &id),
        ("x-much", &many[0]),
        ("x-too-much", &many[1]),
    ] {
        let mut request = Request::new(planted::full(NUMBER));
        let name = AsciiMetadataKey::from_static(name);
        request.metadata_mut().insert(name, value.parse().expect("it is ASCII"));
        caller.call(request).await.expect_err("it is rejected, or the session is unknown");
    }
    let mut request = Request::new(planted::full(NUMBER));
    request.metadata_mut().insert_bin("x-face-bin", MetadataValue::from_bytes(&planted::image()));
    caller.call(request).await.expect_err("the session is unknown");
}

/// Requests health and reflection of unknown services.
pub async fn health_and_reflection(caller: &Caller) {
    let id = id(NUMBER);
    let mut health = HealthClient::new(caller.channel.clone());
    let service = || HealthCheckRequest { service: id.clone() };
    let record = |status: &Status| caller.received.record_error(&id, status);
    record(&health.check(service()).await.expect_err("the service is unknown"));
    record(&health.watch(service()).await.expect_err("the service is unknown"));
    let mut reflection = ServerReflectionClient::new(caller.channel.clone());
    for message in [MessageRequest::FileByFilename(id.clone()), MessageRequest::FileContainingSymbol(id.clone())] {
        let request = ServerReflectionRequest { host: id.clone(), message_request: Some(message) };
        let response = reflection.server_reflection_info(tokio_stream::once(request)).await.expect("a stream");
        record(&response.into_inner().message().await.expect_err("the symbol is unknown"));
    }
}

/// Sends bytes that are not gRPC to the gRPC port and to the admin port.
pub async fn bytes(caller: &Caller, address: &str, admin_address: &str) {
    let id = id(NUMBER);
    let words = planted::words(&id);
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let http = |method: &str, path: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {id}\r\nx-session-id: {id}\r\nconnection: close");
        format!("{head}\r\ncontent-length: {}\r\n\r\n{words}", words.len())
    };
    for bytes in [words.clone(), format!("{preface}{words}"), http("GET", "/")] {
        caller.received.record_bytes(&exchange(address, bytes.as_bytes()).await);
    }
    for (method, path) in [("GET", format!("/{id}")), ("POST", "/metrics".into()), (&*id, "/".into())] {
        caller.received.record_bytes(&exchange(admin_address, http(method, &path).as_bytes()).await);
    }
}

/// Calls an unknown method, or a known one with the wrong message type.
async fn call(caller: &Caller, path: &str, message: impl Message + 'static) {
    let mut grpc: Grpc<Channel> = Grpc::new(caller.channel.clone());
    grpc.ready().await.expect("the channel is connected");
    let path: PathAndQuery = path.parse().expect("a valid path");
    let result = grpc.unary(Request::new(message), path, ProstCodec::<_, ()>::default()).await;
    caller.received.record_error("", &result.expect_err("it is rejected"));
}
