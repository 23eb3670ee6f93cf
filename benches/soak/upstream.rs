//! An AWS that fails in every way in turn: by the simulator's faults, and by a road to it that is
//! cut.

use crate::report::{Phase, Report};
use face_liveness_facade::simulator::{self, Fault, FaultKind, Simulator};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

const LATENCY: Duration = Duration::from_millis(20);

/// How long AWS is well, and how long it is not.
const WELL: Duration = Duration::from_secs(14);
const ILL: Duration = Duration::from_secs(3);

#[derive(Clone)]
pub struct Upstream {
    pub simulator: Simulator,
    address: SocketAddr,
    /// Whether the road is open.
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
        let hidden = listener.local_addr().expect("a bound socket has an address");
        tokio::spawn(simulator.clone().serve(listener, std::future::pending()));
        let road = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = road.local_addr().expect("a bound socket has an address");
        let open = Arc::new(watch::Sender::new(true));
        tokio::spawn(carry(road, address, hidden, open.subscribe()));
        Self { simulator, address, open, report }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// One trouble after the other, for as long as it is polled.
    pub async fn trouble(self) {
        let error = |code: &str, status| FaultKind::Error { code: code.into(), status, message: None };
        let raw = |status, body: &str| FaultKind::Raw { status, content_type: None, body: body.into() };
        loop {
            for (phase, fault) in [
                (Phase::Throttling, Some(error("ThrottlingException", 400))),
                (Phase::Failing, Some(error("InternalServerError", 500))),
                (Phase::Gone, None),
                (Phase::Hanging, Some(FaultKind::Hang)),
                (Phase::Cutting, Some(FaultKind::CutBody)),
                (Phase::Malformed, Some(raw(200, "{\"SessionId\": 7}"))),
                (Phase::Failing, Some(raw(503, "<h1>Down</h1>"))),
                (Phase::Hanging, Some(FaultKind::HangBody)),
            ] {
                sleep(WELL).await;
                let _lasts = self.report.begin(phase);
                match fault {
                    Some(fault) => self.simulator.script(Fault::new(fault)),
                    None => drop(self.open.send_replace(false)),
                }
                sleep(ILL).await;
                self.calm();
            }
        }
    }

    /// All is well again.
    pub fn calm(&self) {
        self.simulator.clear_faults();
        self.open.send_replace(true);
    }
}

/// Carries connections to `hidden` while the road is open. Closed, it has no listener and cuts what
/// is on it, as a host does that restarts.
async fn carry(road: TcpListener, address: SocketAddr, hidden: SocketAddr, mut open: watch::Receiver<bool>) {
    let mut road = Some(road);
    loop {
        let listener = match road.take() {
            Some(listener) => listener,
            None => TcpListener::bind(address).await.expect("nobody else took the port"),
        };
        let mut carried = JoinSet::new();
        let closed = async { drop(open.wait_for(|open| !*open).await) };
        let accept = async {
            loop {
                let Ok((mut near, _)) = listener.accept().await else { continue };
                carried.spawn(async move {
                    let mut far = TcpStream::connect(hidden).await?;
                    tokio::io::copy_bidirectional(&mut near, &mut far).await
                });
                while carried.try_join_next().is_some() {}
            }
        };
        tokio::select! {
            () = closed => {}
            () = accept => {}
        }
        drop((listener, carried));
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
    }
}
