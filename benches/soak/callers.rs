//! Every kind of caller, each asking again and again over connections that are left and made anew.

use crate::report::{Kind, NOT_SENT, Report};
use face_liveness_facade::{
    proto::{GetLivenessResultRequest, ResultView, face_liveness_service_client::FaceLivenessServiceClient},
    simulator::{ImageStore, Session, Simulator},
};
use std::{
    collections::VecDeque,
    error::Error,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet, time::sleep};
use tonic::{Request, Status, transport::Channel};
use tonic_types::StatusExt;

/// So many callers of a kind, and the pause of each between two calls. Most ask for what is held.
const CALLERS: [(Kind, usize, Duration); 9] = [
    (Kind::Hit, 4, Duration::from_millis(8)),
    (Kind::Miss, 2, Duration::from_millis(80)),
    (Kind::Images, 2, Duration::from_millis(100)),
    (Kind::Wait, 20, Duration::from_millis(100)),
    (Kind::Poll, 10, Duration::from_millis(400)),
    (Kind::Unknown, 2, Duration::from_millis(200)),
    (Kind::Malformed, 2, Duration::from_millis(50)),
    (Kind::GivenUp, 5, Duration::from_millis(200)),
    (Kind::Hurried, 3, Duration::from_millis(200)),
];

/// The sessions that hits ask for: so few that they stay among those used lately.
const HELD: usize = 200;

/// Every caller takes a new connection so often.
const CALLS_PER_CONNECTION: usize = 200;

pub struct Callers {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Callers {
    pub fn start(address: String, simulator: Simulator, report: Arc<Report>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let held: Arc<Mutex<VecDeque<String>>> = Arc::default();
        let mut tasks = JoinSet::new();
        for (kind, count, pause) in CALLERS {
            for _ in 0..count {
                let (address, simulator, report) = (address.clone(), simulator.clone(), Arc::clone(&report));
                let caller = Caller { kind, pause, address, simulator, report, held: Arc::clone(&held) };
                tasks.spawn(caller.call_until(stopped.clone()));
            }
        }
        Self { stop, tasks }
    }

    /// Lets each end the call that it is at.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while let Some(end) = self.tasks.join_next().await {
            end.expect("a caller does not panic");
        }
    }
}

struct Caller {
    kind: Kind,
    pause: Duration,
    address: String,
    simulator: Simulator,
    report: Arc<Report>,
    /// Sessions whose results were answered, the newest last.
    held: Arc<Mutex<VecDeque<String>>>,
}

impl Caller {
    async fn call_until(self, stopped: watch::Receiver<bool>) {
        let mut polled = None;
        while !*stopped.borrow() {
            let mut client = FaceLivenessServiceClient::connect(self.address.clone()).await.expect("it listens");
            for _ in 0..CALLS_PER_CONNECTION {
                self.call(&mut client, &mut polled).await;
                sleep(self.pause).await;
                if *stopped.borrow() {
                    return;
                }
            }
        }
    }

    /// One call. Who polls stays with its session until that has ended.
    async fn call(&self, client: &mut FaceLivenessServiceClient<Channel>, polled: &mut Option<String>) {
        let (wait, limit) =
            (prost_types::Duration { seconds: 40, nanos: 0 }, Duration::from_millis(fastrand::u64(1..200)));
        let mut asked = GetLivenessResultRequest { session_id: String::new(), ..Default::default() };
        asked.session_id = match self.kind {
            Kind::Hit | Kind::Images => match self.pick() {
                Some(id) => id,
                None => return,
            },
            Kind::Miss => self.place(Some(Duration::ZERO)),
            Kind::Wait | Kind::GivenUp | Kind::Hurried => self.place(None),
            Kind::Poll => polled.take().unwrap_or_else(|| self.place(None)),
            Kind::Unknown => new_id(),
            Kind::Malformed => "no session's id".to_owned(),
        };
        if self.kind == Kind::Images {
            asked.set_view(ResultView::Full);
        }
        asked.wait = matches!(self.kind, Kind::Wait | Kind::GivenUp).then_some(wait);
        let (id, mut request) = (asked.session_id.clone(), Request::new(asked));
        if self.kind == Kind::Hurried {
            request.set_timeout(limit);
        }
        let started = Instant::now();
        let call = client.get_liveness_result(request);
        let end = match self.kind {
            Kind::GivenUp => match tokio::time::timeout(limit, call).await {
                Ok(end) => end,
                Err(_) => return self.report.given_up(self.kind, started),
            },
            _ => call.await,
        };
        match end.map(|answer| answer.into_inner().result.unwrap_or_default().status()) {
            Ok(status) if status.is_terminal() => {
                self.report.answered(self.kind, started);
                self.keep(id);
            }
            Ok(_) => {
                self.report.answered(self.kind, started);
                *polled = (self.kind == Kind::Poll).then_some(id);
            }
            Err(status) => {
                let details = status.get_error_details();
                let reason = match details.error_info() {
                    Some(info) => info.reason.clone(),
                    None if was_not_sent(&status) => NOT_SENT.to_owned(),
                    None => format!("{:?}: {}", status.code(), status.message()),
                };
                self.report.refused(self.kind, started, &reason);
                // AWS still has it.
                *polled = (self.kind == Kind::Poll).then_some(id);
            }
        }
    }

    /// A new session, whose stages last so long or as they do by default; every third has images.
    /// The simulator forgets it after three minutes.
    fn place(&self, stages: Option<Duration>) -> String {
        let id = new_id();
        let images = if fastrand::u8(..3) == 0 { ImageStore::Inline } else { ImageStore::None };
        let (created_for, in_progress_for) = (stages, stages);
        self.simulator.place(Session { images, audit_images: 1, created_for, in_progress_for, ..Session::new(&*id) });
        id
    }

    fn keep(&self, id: String) {
        let mut held = self.held.lock().expect("nobody panics with it");
        if held.contains(&id) {
            return;
        }
        held.push_back(id);
        if held.len() > HELD {
            held.pop_front();
        }
    }

    fn pick(&self) -> Option<String> {
        let held = self.held.lock().expect("nobody panics with it");
        fastrand::choice(held.iter()).cloned()
    }
}

/// Whether the caller's library took a call for a connection that the service had asked to end, and
/// so did not send it, or not in time. The libraries of other languages send it again on the next
/// connection.
fn was_not_sent(status: &Status) -> bool {
    let mut source = Error::source(status);
    while let Some(error) = source {
        if error
            .downcast_ref()
            .is_some_and(|error: &h2::Error| error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR))
        {
            return true;
        }
        source = error.source();
    }
    // hyper's words, whose type is not at hand.
    status.message() == "operation was canceled"
}

fn new_id() -> String {
    let [a, b] = [fastrand::u32(..), fastrand::u32(..)];
    format!("{a:08x}-0000-4000-8000-0000{b:08x}")
}
