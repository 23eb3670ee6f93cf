//! A simulated AWS with outages: faults of the simulator, and a proxy that cuts connections.

use crate::report::{Outage, Report};
use face_liveness_facade::simulator::{self, Fault, FaultKind, Simulator};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

const LATENCY: Duration = Duration::from_millis(20);

/// The time without and with an outage.
const BETWEEN_OUTAGES: Duration = Duration::from_secs(14);
const OUTAGE: Duration = Duration::from_secs(3);

#[derive(Clone)]
pub struct Upstream {
    pub simulator: Simulator,
    address: SocketAddr,
    /// Whether the proxy accepts connections.
    open: Arc<watch::Sender<bool>>,
    report: Arc<Report>,
}

impl Upstream {
    pub async fn start(report: Arc<Report>) -> Self {
        let config = simulator::Config {
            latency: LATENCY,
            created_for: Duration::from_millis(500),
            in_progress_for: Duration::from_millis(1_500),
            ..Default::default()
        };
        let simulator = Simulator::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let simulator_address = listener.local_addr().expect("a bound socket has an address");
        tokio::spawn(simulator.clone().serve(listener, std::future::pending()));
        let proxy = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = proxy.local_addr().expect("a bound socket has an address");
        let open = Arc::new(watch::Sender::new(true));
        tokio::spawn(forward(proxy, address, simulator_address, open.subscribe()));
        Self { simulator, address, open, report }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts and ends outages, forever.
    pub async fn run_outages(self) {
        let error = |code: &str, status| FaultKind::Error { code: code.into(), status, message: None };
        let raw = |status, body: &str| FaultKind::Raw { status, content_type: None, body: body.into() };
        loop {
            for (outage, fault) in [
                (Outage::Throttling, Some(error("ThrottlingException", 400))),
                (Outage::Failing, Some(error("InternalServerError", 500))),
                (Outage::Restarting, None),
                (Outage::Hanging, Some(FaultKind::Hang)),
                (Outage::Cutting, Some(FaultKind::CutBody)),
                (Outage::Malformed, Some(raw(200, "{\"SessionId\": 7}"))),
                (Outage::Failing, Some(raw(503, "<h1>Down</h1>"))),
                (Outage::Hanging, Some(FaultKind::HangBody)),
            ] {
                sleep(BETWEEN_OUTAGES).await;
                let _outage = self.report.begin(outage);
                match fault {
                    Some(fault) => self.simulator.script(Fault::new(fault)),
                    None => drop(self.open.send_replace(false)),
                }
                sleep(OUTAGE).await;
                self.end_outage();
            }
        }
    }

    /// Ends the current outage.
    pub fn end_outage(&self) {
        self.simulator.clear_faults();
        self.open.send_replace(true);
    }
}

/// Forwards connections to the simulator while `open` is true. Otherwise closes the listener and
/// all connections, as a host that restarts.
async fn forward(
    proxy: TcpListener,
    address: SocketAddr,
    simulator_address: SocketAddr,
    mut open: watch::Receiver<bool>,
) {
    let mut proxy = Some(proxy);
    loop {
        let listener = match proxy.take() {
            Some(listener) => listener,
            None => TcpListener::bind(address).await.expect("no other process took the port"),
        };
        let mut connections = JoinSet::new();
        let closed = async { drop(open.wait_for(|open| !*open).await) };
        let accept = async {
            loop {
                let Ok((mut client, _)) = listener.accept().await else { continue };
                connections.spawn(async move {
                    let mut upstream = TcpStream::connect(simulator_address).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut upstream).await
                });
                while connections.try_join_next().is_some() {}
            }
        };
        tokio::select! {
            () = closed => {}
            () = accept => {}
        }
        drop((listener, connections));
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
    }
}
