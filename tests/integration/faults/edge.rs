//! The edge of AWS as the service sees it, with a fault on it that can be taken away.

use super::road::{Road, Trouble};
use crate::facade::id;
use face_liveness_facade::simulator::{Fault, FaultKind, Simulator};
use tokio::net::TcpListener;

/// Where the fault is.
#[derive(Clone)]
pub enum At {
    /// AWS, or somebody before it, answers so.
    Answer(FaultKind),
    Road(Trouble),
    /// The endpoint's name is nobody's.
    Name(&'static str),
}

/// The way from the service to AWS, with the fault on it.
pub struct Edge {
    pub endpoint: String,
    pub simulator: Simulator,
    pub road: Road,
    /// Nobody counts the attempts that reach nobody.
    pub counts_reads: bool,
    can_be_mended: bool,
}

impl Edge {
    pub async fn new(at: &At) -> Self {
        let simulator = Simulator::new(Default::default());
        let aws = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = aws.local_addr().expect("a bound socket has an address");
        tokio::spawn(simulator.clone().serve(aws, std::future::pending()));
        let road = match at {
            At::Road(trouble) => Road::to(address, Some(*trouble)),
            At::Answer(_) | At::Name(_) => Road::to(address, None),
        };
        if let At::Answer(kind) = at {
            simulator.script(Fault { session_id: Some(id(1)), ..Fault::new(kind.clone()) });
        }
        let host = match at {
            At::Name(name) => (*name).to_owned(),
            At::Answer(_) | At::Road(_) => road.address.to_string(),
        };
        let counts_reads = !matches!(at, At::Name(_) | At::Road(Trouble::Refused));
        let can_be_mended = !matches!(at, At::Name(_));
        Self { endpoint: format!("http://{host}"), simulator, road, counts_reads, can_be_mended }
    }

    pub fn reads(&self) -> u64 {
        self.simulator.reads() + self.road.lost()
    }

    /// Takes the fault away; whether that can be done.
    pub fn mend(&self) -> bool {
        self.simulator.clear_faults();
        self.road.mend();
        self.can_be_mended
    }
}
