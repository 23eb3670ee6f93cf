//! Measures the parts of a response: the conversion of AWS's output, the cache lookup, the verdict,
//! and the encoding.

use aws_sdk_rekognition::{
    operation::get_face_liveness_session_results::GetFaceLivenessSessionResultsOutput,
    types::{AuditImage, Challenge, ChallengeType, LivenessSessionStatus},
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use face_liveness_facade::{
    client::ClientKey,
    grpc::{response, valid_request::ValidRequest},
    rekognition::{Rekognition, convert},
    results::{CacheLimits, ImageSet, ReaderSettings, SessionReader, SessionResponse, WaitBudget},
    session::{SessionId, SessionRefKey},
    simulator::{self, Pace, Session, Simulator, Status},
    telemetry::metrics::Registry,
};
use std::{hint::black_box, sync::Arc, time::Duration};
use tokio::{net::TcpListener, runtime::Runtime, time::Instant};

const ID: &str = "0123abcd-0000-4000-8000-000000000001";
const HOUR: Duration = Duration::from_secs(3600);
const SETTINGS: ReaderSettings = ReaderSettings {
    limits: CacheLimits {
        result_ttl: HOUR,
        result_entries: 1_000,
        image_ttl: HOUR,
        image_bytes: 1 << 24,
        images: ImageSet::ALL,
        not_found_ttl: Duration::from_secs(2),
    },
    pending_ttl: Duration::from_millis(500),
    capture: false,
    rate: None,
    replicas: 1,
    min_confidence: None,
};

fn output() -> GetFaceLivenessSessionResultsOutput {
    let image = || AuditImage::builder().bytes(vec![7; 100_000].into()).build();
    let challenge = Challenge::builder()
        .r#type(ChallengeType::FaceMovementAndLightChallenge)
        .version("2.0.0")
        .build()
        .expect("all required fields are set");
    let output = GetFaceLivenessSessionResultsOutput::builder()
        .session_id(ID)
        .status(LivenessSessionStatus::Succeeded)
        .confidence(99.5);
    output
        .reference_image(image())
        .audit_images(image())
        .audit_images(image())
        .challenge(challenge)
        .build()
        .expect("all required fields are set")
}

/// Returns results in which one session is cached with its images.
async fn cached(id: SessionId) -> SessionReader {
    let simulator = Simulator::new(simulator::Config::default());
    simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), audit_images: 2, ..Session::new(ID) });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
    tokio::spawn(simulator.serve(listener, std::future::pending()));
    let rekognition = Rekognition::at(&endpoint, "us-east-1", Duration::from_secs(5));
    let results =
        SessionReader::new(rekognition, SETTINGS, None, &Registry::default(), Arc::new(SessionRefKey::random()));
    get(&results, id, ImageSet::ALL).await;
    results
}

async fn get(results: &SessionReader, id: SessionId, wanted: ImageSet) -> SessionResponse {
    let budget = WaitBudget { wait_until: None, respond_by: Instant::now() + Duration::from_secs(5) };
    results.get(id, &ClientKey::Others, wanted, budget).await.expect("it is there")
}

fn pieces(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let id = SessionId::parse(ID).expect("a valid id");
    criterion.bench_function("conversion, three images", |bencher| {
        bencher.iter_batched(output, |output| convert::liveness_result(ID, output), BatchSize::LargeInput);
    });
    let results = runtime.block_on(cached(id));
    for (view, images) in [("basic", ImageSet::NONE), ("full", ImageSet::ALL)] {
        criterion.bench_function(&format!("look-up, {view}"), |bencher| {
            bencher.iter(|| runtime.block_on(get(&results, black_box(id), images)));
        });
        let reading = runtime.block_on(get(&results, id, images));
        let valid =
            ValidRequest { session_id: id, images, min_confidence: Some(80.0), wait: None, max_result_age: None };
        let of = || response::of(reading.clone(), black_box(&valid), ImageSet::ALL, Instant::now(), None);
        criterion.bench_function(&format!("verdict, {view}"), |bencher| bencher.iter(of));
        let response = of();
        criterion.bench_function(&format!("encode, {view}"), |bencher| {
            bencher.iter(|| prost::Message::encode_to_vec(black_box(&response.message)));
        });
    }
}

criterion_group!(benches, pieces);
criterion_main!(benches);
