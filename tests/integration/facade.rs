//! A server with its simulated AWS, inside the test process.

use crate::{admin::get, program::simulator_with};
use clap::Parser;
use face_liveness_facade::{
    app::App,
    config::{Cli, Command, Serve},
    proto::{self, face_liveness_service_client::FaceLivenessServiceClient},
    rekognition::Rekognition,
    server::{self, Stopped, tls::Tls},
    session::SessionRefKey,
    simulator::{self, Fault, FaultKind, Session, Simulator},
};
use prost::Message;
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, sync::oneshot, task::JoinHandle};
use tonic::{
    Status,
    codegen::{Bytes, http},
    transport::Channel,
};
use tonic_types::StatusExt;

pub struct Facade {
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
    pub simulator: Simulator,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<Stopped>,
}

impl Facade {
    /// Starts a server with these flags of `serve`, and a simulator without a quota.
    pub async fn start(flags: &[&str]) -> Self {
        Self::with_simulator(flags, simulator::Config::default()).await
    }

    pub async fn with_simulator(flags: &[&str], config: simulator::Config) -> Self {
        let (simulator, endpoint) = simulator_with(config).await;
        Self::with_endpoint(&endpoint, simulator, flags).await
    }

    /// Starts a server that reads from `endpoint`.
    pub async fn with_endpoint(endpoint: &str, simulator: Simulator, flags: &[&str]) -> Self {
        let own = ["face-liveness-facade", "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        // No load balancer routes to this server, so shutdown need not wait for one.
        let flags = [&own[..], &["--drain-delay", "0s"], flags].concat();
        let Command::Serve(Serve { listen, admin_listen, server: config, .. }) = Cli::parse_from(flags).command else {
            panic!("a command other than serve");
        };
        let listener = server::bind(listen, "--listen").expect("loopback has a free port");
        let admin = server::bind(admin_listen, "--admin-listen").expect("loopback has a free port");
        let [address, admin_address] =
            [&listener, &admin].map(|socket| server::address(socket).expect("a bound socket has an address"));
        let rekognition = Rekognition::at(endpoint, "us-east-1", config.service.upstream_timeout);
        let (stop, stopped) = oneshot::channel::<()>();
        let tls = config.tls.files().map(|files| Tls::load(files).expect("valid certificates"));
        let session_refs = SessionRefKey::random();
        let shared_cache = config.shared_cache.settings().expect("a valid shared cache");
        let app = App { listener, admin, tls, session_refs, shared_cache, config, rekognition };
        let server = tokio::spawn(async move {
            let stop = async { drop(stopped.await) };
            app.run(stop).await.expect("the server serves")
        });
        Self { address, admin_address, simulator, stop: Some(stop), server }
    }

    /// Shuts the server down, and waits until it has stopped.
    pub async fn stop(&mut self) -> Stopped {
        drop(self.stop.take());
        (&mut self.server).await.expect("the server does not panic")
    }

    pub async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).expect("an address is a URI");
        endpoint.connect().await.expect("the server listens")
    }

    pub async fn client(&self) -> FaceLivenessServiceClient<Channel> {
        FaceLivenessServiceClient::new(self.channel().await)
    }

    /// Calls GetLivenessResult on a new connection.
    pub async fn call(
        &self,
        request: proto::GetLivenessResultRequest,
    ) -> Result<proto::GetLivenessResultResponse, Status> {
        self.client().await.get_liveness_result(request).await.map(tonic::Response::into_inner)
    }

    /// Calls GetLivenessResult with all defaults, on a new connection.
    pub async fn get(&self, id: &str) -> Result<proto::GetLivenessResultResponse, Status> {
        self.call(request(id)).await
    }

    /// Sends the headers of a call with this `grpc-timeout`, and not yet its message. This client
    /// ignores the deadline: tonic's ends the call at the deadline, and so races the response.
    pub async fn open(&self, timeout: &str) -> OpenCall {
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        let (mut client, connection) =
            h2::client::Builder::new().handshake::<_, Bytes>(stream).await.expect("it speaks HTTP/2");
        tokio::spawn(connection);
        let request = http::Request::post("http://localhost/faceliveness.v1.FaceLivenessService/GetLivenessResult")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", timeout)
            .body(())
            .expect("a valid request");
        let (response, message) = client.send_request(request, false).expect("the connection is open");
        OpenCall { response, message }
    }

    /// Returns the value of a metric; `series` is its name and labels as exported.
    pub async fn metric(&self, series: &str) -> f64 {
        let (_, text) = get(self.admin_address, "/metrics").await;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{series} is not exported"))
    }

    pub fn place(&self, session: Session) {
        self.simulator.place(session);
    }

    /// Injects this fault into every further read.
    pub fn fault(&self, kind: FaultKind) {
        self.simulator.script(Fault::new(kind));
    }
}

/// A call whose headers have been sent.
pub struct OpenCall {
    response: h2::client::ResponseFuture,
    message: h2::SendStream<Bytes>,
}

impl OpenCall {
    /// Sends the message, and reads the response to its end.
    pub async fn send(
        mut self,
        request: proto::GetLivenessResultRequest,
    ) -> Result<proto::GetLivenessResultResponse, Status> {
        let content = request.encode_to_vec();
        let prefix = [0, 0, 0, 0, u8::try_from(content.len()).expect("a small message")];
        self.message.send_data([&prefix, &content[..]].concat().into(), true).expect("the stream is open");
        let response = self.response.await.expect("a response");
        if let Some(status) = Status::from_header_map(response.headers()) {
            return Err(status);
        }
        let (mut body, mut bytes) = (response.into_body(), Vec::new());
        while let Some(data) = body.data().await {
            bytes.extend_from_slice(&data.expect("the whole body"));
        }
        Ok(proto::GetLivenessResultResponse::decode(&bytes[prefix.len()..]).expect("a message"))
    }
}

/// Returns a session id. Tests may use the same numbers: each has its own server.
pub fn id(number: u32) -> String {
    format!("0123abcd-0000-4000-8000-{number:012x}")
}

pub fn request(id: &str) -> proto::GetLivenessResultRequest {
    proto::GetLivenessResultRequest { session_id: id.to_owned(), ..Default::default() }
}

/// Returns the reason in the ErrorInfo of a status.
pub fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

/// Polls `done` until it is true. Panics after ten seconds.
pub async fn eventually(what: &str, done: impl AsyncFn() -> bool) {
    within(Duration::from_secs(10), what, done).await;
}

/// Polls `done` until it is true. Panics after this time.
pub async fn within(time: Duration, what: &str, done: impl AsyncFn() -> bool) {
    let polls = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(time, polls).await.unwrap_or_else(|_| panic!("not within {time:?}: {what}"));
}
