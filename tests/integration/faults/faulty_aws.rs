//! A simulated AWS with one injected fault that can be cleared.

use super::proxy::{ConnectionFault, Proxy};
use crate::facade::id;
use face_liveness_facade::simulator::{Fault, FaultKind, Simulator};
use tokio::net::TcpListener;

/// Where the fault is injected.
#[derive(Clone)]
pub enum Injection {
    /// AWS, or a proxy in front of it, sends this response.
    Response(FaultKind),
    Connection(ConnectionFault),
    /// The endpoint has this host name, which does not resolve.
    HostName(&'static str),
}

/// A simulated AWS behind a proxy, with the fault on one of them.
pub struct FaultyAws {
    pub endpoint: String,
    pub simulator: Simulator,
    pub proxy: Proxy,
    /// Whether attempts can be counted: those that reach no listener cannot.
    pub counts_reads: bool,
    is_clearable: bool,
}

impl FaultyAws {
    pub async fn new(injection: &Injection) -> Self {
        let simulator = Simulator::new(Default::default());
        let aws = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = aws.local_addr().expect("a bound socket has an address");
        tokio::spawn(simulator.clone().serve(aws, std::future::pending()));
        let proxy = match injection {
            Injection::Connection(fault) => Proxy::start(address, Some(*fault)),
            Injection::Response(_) | Injection::HostName(_) => Proxy::start(address, None),
        };
        if let Injection::Response(kind) = injection {
            simulator.script(Fault { session_id: Some(id(1)), ..Fault::new(kind.clone()) });
        }
        let host = match injection {
            Injection::HostName(name) => (*name).to_owned(),
            Injection::Response(_) | Injection::Connection(_) => proxy.address.to_string(),
        };
        let is_clearable = !matches!(injection, Injection::HostName(_));
        let is_refused_port = matches!(injection, Injection::Connection(ConnectionFault::ConnectionRefused));
        Self {
            endpoint: format!("http://{host}"),
            simulator,
            proxy,
            counts_reads: is_clearable && !is_refused_port,
            is_clearable,
        }
    }

    pub fn reads(&self) -> u64 {
        self.simulator.reads() + self.proxy.failed()
    }

    /// Clears the fault. Returns whether it can be cleared.
    pub fn clear_fault(&self) -> bool {
        self.simulator.clear_faults();
        self.proxy.clear_fault();
        self.is_clearable
    }
}
