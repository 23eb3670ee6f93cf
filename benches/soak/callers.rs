//! Callers of every kind, which call repeatedly and reconnect.

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

/// The number of callers of each kind, and their pause between two calls. Most calls are cache
/// hits.
const CALLERS: [(Kind, usize, Duration); 9] = [
    (Kind::Hit, 4, Duration::from_millis(8)),
    (Kind::Miss, 2, Duration::from_millis(80)),
    (Kind::Images, 2, Duration::from_millis(100)),
    (Kind::Wait, 20, Duration::from_millis(100)),
    (Kind::Poll, 10, Duration::from_millis(400)),
    (Kind::Unknown, 2, Duration::from_millis(200)),
    (Kind::Malformed, 2, Duration::from_millis(50)),
    (Kind::Canceled, 5, Duration::from_millis(200)),
    (Kind::ShortDeadline, 3, Duration::from_millis(200)),
];

/// The number of sessions for hits, small enough that none is evicted.
const HIT_SESSIONS: usize = 200;

/// Calls after which a caller reconnects.
const CALLS_PER_CONNECTION: usize = 200;

pub struct Callers {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Callers {
    pub fn start(address: String, simulator: Simulator, report: Arc<Report>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let cached: Arc<Mutex<VecDeque<String>>> = Arc::default();
        let mut tasks = JoinSet::new();
        for (kind, count, pause) in CALLERS {
            for _ in 0..count {
                let (address, simulator, report) = (address.clone(), simulator.clone(), Arc::clone(&report));
                let caller = Caller { kind, pause, address, simulator, report, cached: Arc::clone(&cached) };
                tasks.spawn(caller.call_until(stopped.clone()));
            }
        }
        Self { stop, tasks }
    }

    /// Stops the callers after their current call.
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
    /// Sessions with a final result, the newest last.
    cached: Arc<Mutex<VecDeque<String>>>,
}

impl Caller {
    async fn call_until(self, stopped: watch::Receiver<bool>) {
        let mut polled = None;
        while !*stopped.borrow() {
            let mut client =
                FaceLivenessServiceClient::connect(self.address.clone()).await.expect("the service listens");
            for _ in 0..CALLS_PER_CONNECTION {
                self.call(&mut client, &mut polled).await;
                sleep(self.pause).await;
                if *stopped.borrow() {
                    return;
                }
            }
        }
    }

    /// Makes one call. A polling caller keeps its session until it is final.
    async fn call(&self, client: &mut FaceLivenessServiceClient<Channel>, polled: &mut Option<String>) {
        let (wait, limit) =
            (prost_types::Duration { seconds: 40, nanos: 0 }, Duration::from_millis(fastrand::u64(1..200)));
        let mut message = GetLivenessResultRequest { session_id: String::new(), ..Default::default() };
        message.session_id = match self.kind {
            Kind::Hit | Kind::Images => match self.choose_cached() {
                Some(id) => id,
                None => return,
            },
            Kind::Miss => self.place(Some(Duration::ZERO)),
            Kind::Wait | Kind::Canceled | Kind::ShortDeadline => self.place(None),
            Kind::Poll => polled.take().unwrap_or_else(|| self.place(None)),
            Kind::Unknown => new_id(),
            Kind::Malformed => "no session id".to_owned(),
        };
        if self.kind == Kind::Images {
            message.set_view(ResultView::Full);
        }
        message.wait = matches!(self.kind, Kind::Wait | Kind::Canceled).then_some(wait);
        let (id, mut request) = (message.session_id.clone(), Request::new(message));
        if self.kind == Kind::ShortDeadline {
            request.set_timeout(limit);
        }
        let started = Instant::now();
        let call = client.get_liveness_result(request);
        let result = match self.kind {
            Kind::Canceled => match tokio::time::timeout(limit, call).await {
                Ok(result) => result,
                Err(_) => return self.report.canceled(self.kind, started),
            },
            _ => call.await,
        };
        match result.map(|response| response.into_inner().result.unwrap_or_default().status()) {
            Ok(status) if status.is_terminal() => {
                self.report.succeeded(self.kind, started);
                self.add_cached(id);
            }
            Ok(_) => {
                self.report.succeeded(self.kind, started);
                *polled = (self.kind == Kind::Poll).then_some(id);
            }
            Err(status) => {
                let details = status.get_error_details();
                let reason = match details.error_info() {
                    Some(info) => info.reason.clone(),
                    None if was_not_sent(&status) => NOT_SENT.to_owned(),
                    None => format!("{:?}: {}", status.code(), status.message()),
                };
                self.report.failed(self.kind, started, &reason);
                // The session still exists.
                *polled = (self.kind == Kind::Poll).then_some(id);
            }
        }
    }

    /// Creates a session with these times in CREATED and IN_PROGRESS, or the default ones. Every
    /// third has images. The simulator deletes it after three minutes.
    fn place(&self, stages: Option<Duration>) -> String {
        let id = new_id();
        let images = if fastrand::u8(..3) == 0 { ImageStore::Inline } else { ImageStore::None };
        let (created_for, in_progress_for) = (stages, stages);
        self.simulator.place(Session { images, audit_images: 1, created_for, in_progress_for, ..Session::new(&*id) });
        id
    }

    fn add_cached(&self, id: String) {
        let mut cached = self.cached.lock().expect("no code panics while it holds this lock");
        if cached.contains(&id) {
            return;
        }
        cached.push_back(id);
        if cached.len() > HIT_SESSIONS {
            cached.pop_front();
        }
    }

    fn choose_cached(&self) -> Option<String> {
        let cached = self.cached.lock().expect("no code panics while it holds this lock");
        fastrand::choice(cached.iter()).cloned()
    }
}

/// Returns whether the call failed before it was sent, because the service had ended the
/// connection. gRPC libraries of other languages retry such a call on a new connection.
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
    // hyper's message. The type of its error is private.
    status.message() == "operation was canceled"
}

fn new_id() -> String {
    let [a, b] = [fastrand::u32(..), fastrand::u32(..)];
    format!("{a:08x}-0000-4000-8000-0000{b:08x}")
}
