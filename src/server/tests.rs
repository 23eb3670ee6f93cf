use super::*;
use crate::{
    config::{Cli, Command},
    grpc::metrics::ResponseMetrics,
    rekognition::Rekognition,
    results::SessionReader,
    session::SessionRefKey,
};
use clap::Parser;
use std::collections::HashSet;

#[test]
fn the_age_of_connections_differs_by_process_within_a_tenth() {
    let age = Duration::from_secs(300);
    let ages: HashSet<_> = (0..100).map(|_| jittered(age).expect("there is an age")).collect();
    assert!(ages.iter().all(|jittered| jittered.abs_diff(age) <= age / 10), "{ages:?}");
    assert!(ages.len() > 90, "{ages:?}");
    let spread = *ages.iter().max().expect("there are ages") - *ages.iter().min().expect("there are ages");
    assert!(spread > age / 10, "the ages use the whole range: {spread:?}");
}

#[test]
fn an_age_of_zero_is_none() {
    assert_eq!(jittered(Duration::ZERO), None);
}

/// Runs a server beside these tasks. It is never ready, and has nothing to drain.
async fn run(tasks: Tasks) -> Result<Stopped, String> {
    let Command::Serve(serve) = Cli::parse_from(["face-liveness-facade", "serve"]).command else { unreachable!() };
    let (registry, session_refs) = (Registry::default(), Arc::new(SessionRefKey::random()));
    let rekognition = Rekognition::at("http://127.0.0.1:1", "us-east-1", Duration::from_secs(1));
    let settings = serve.server.service.results(1.0);
    let results = SessionReader::new(rekognition, settings, None, &registry, Arc::clone(&session_refs));
    let settings = serve.server.rpc(None);
    let clients = settings.clients.clone();
    let recorder = Recorder::new(ResponseMetrics::new(&registry), settings.access_log, Arc::clone(&session_refs), None);
    let service = Service::server(results, settings, session_refs, recorder.clone());
    let address = "127.0.0.1:0".parse().expect("an address");
    let server = Server {
        listener: bind(address, "--listen")?,
        admin_listener: bind(address, "--admin-listen")?,
        tls: None,
        options: Options {
            max_requests: 1,
            max_connections: 1,
            max_connection_age: Duration::ZERO,
            max_wait: Duration::ZERO,
            reflection: false,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
        },
    };
    let rpc = Rpc { service, clients, recorder, registry, measure: Box::new(|| ()) };
    let stop = tokio::time::sleep(Duration::from_millis(100));
    server.run(rpc, tasks, Shutdown::default(), watch::channel(false).1, async {}, stop).await
}

#[tokio::test]
async fn a_server_whose_tasks_run_is_stopped_and_drained() {
    let mut tasks = Tasks::default();
    tasks.spawn("rate limiter", pending());
    assert_eq!(run(tasks).await, Ok(Stopped::Drained));
}

#[tokio::test]
async fn a_task_that_panics_or_ends_fails_the_server() {
    let mut tasks = Tasks::default();
    tasks.spawn("rate limiter", async { panic!("a defect") });
    assert_eq!(run(tasks).await, Err(r#"the task "rate limiter" panicked"#.to_owned()));
    let mut tasks = Tasks::default();
    tasks.spawn("certificate reload", async {});
    assert_eq!(run(tasks).await, Err(r#"the task "certificate reload" ended"#.to_owned()));
}
