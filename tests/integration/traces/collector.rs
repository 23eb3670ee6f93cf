//! An OTLP collector, and the program that exports to it.

use crate::program::{self, Running};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind},
};
use prost::Message;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

#[derive(Clone, Default)]
pub struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().expect("no thread panics while holding the lock").push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Starts a collector. Returns it with its endpoint.
    pub async fn start() -> (Self, String) {
        Self::serve(Server::builder()).await
    }

    /// Starts a collector with TLS. Returns it with its endpoint and certificate.
    pub async fn start_with_tls() -> (Self, String, String) {
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let certificate = certified.cert.pem();
        let identity = Identity::from_pem(&certificate, certified.signing_key.serialize_pem());
        let server = Server::builder()
            .tls_config(ServerTlsConfig::new().identity(identity))
            .expect("the key belongs to the certificate");
        let (collector, endpoint) = Self::serve(server).await;
        (collector, endpoint.replace("http:", "https:"), certificate)
    }

    async fn serve(mut server: Server) -> (Self, String) {
        let collector = Self::default();
        let (listener, endpoint) = listen().await;
        let router = server.add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
        (collector, endpoint)
    }

    /// Returns the received spans of this kind.
    pub fn spans(&self, kind: SpanKind) -> Vec<Span> {
        let requests = self.0.lock().expect("no thread panics while holding the lock");
        let scopes = requests.iter().flat_map(|request| &request.resource_spans).flat_map(|of| &of.scope_spans);
        scopes.flat_map(|scope| &scope.spans).filter(|span| span.kind() == kind).cloned().collect()
    }

    /// Returns a resource attribute of the program.
    pub fn resource(&self, name: &str) -> String {
        let requests = self.0.lock().expect("no thread panics while holding the lock");
        let resource = requests[0].resource_spans[0].resource.as_ref().expect("a resource");
        text(&resource.attributes, name).expect("an attribute of this name")
    }

    /// Returns all received requests in their wire format.
    pub fn bytes(&self) -> Vec<u8> {
        self.0
            .lock()
            .expect("no thread panics while holding the lock")
            .iter()
            .flat_map(Message::encode_to_vec)
            .collect()
    }
}

/// Returns a socket that accepts no connection: they stay in its backlog.
pub async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
    (listener, endpoint)
}

/// Returns the value of a text attribute.
pub fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == name)?;
    match &attribute.value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => Some(text.clone()),
        other => panic!("{name} is {other:?}"),
    }
}

/// Returns the sorted names of the attributes of a span.
pub fn names(span: &Span) -> Vec<&str> {
    let mut names: Vec<_> = span.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    names.sort_unstable();
    names
}

/// Starts the program. It reads from `aws`, and exports to `collector` every 10 ms.
pub fn serve(aws: &str, collector: &str, flags: &[&str], settings: &[(&str, &str)]) -> Running {
    let export = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector), ("OTEL_BSP_SCHEDULE_DELAY", "10")];
    program::serve(flags, &[&program::aws(aws)[..], &export, settings].concat())
}
