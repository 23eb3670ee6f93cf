//! One client cannot take the quota or the limits of this server from another one. The two have two
//! addresses of loopback.

use crate::facade::{Facade, eventually, id, reason, request};
use face_liveness_facade::{
    proto::face_liveness_service_client::FaceLivenessServiceClient,
    simulator::{Pace, Session, Status},
};
use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;
use tonic::{
    Code, Request,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;

type Client = FaceLivenessServiceClient<Channel>;

/// Connects from another address than other tests.
async fn client(facade: &Facade, host: u8) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{}", facade.address)).expect("an address is a URI");
    let endpoint = endpoint.local_address(Some(Ipv4Addr::new(127, 0, 0, host).into()));
    Client::new(endpoint.connect().await.expect("the server listens"))
}

/// Requests 400 invented ids per second, until the returned set is dropped.
fn request_invented_ids(client: Client) -> JoinSet<()> {
    let mut hostile = JoinSet::new();
    hostile.spawn(async move {
        let (mut calls, mut ticks) = (JoinSet::new(), tokio::time::interval(Duration::from_millis(25)));
        for number in 0.. {
            if number % 10 == 0 {
                ticks.tick().await;
            }
            let (mut client, mut request) = (client.clone(), Request::new(request(&id(1_000_000 + number))));
            request.set_timeout(Duration::from_secs(3));
            calls.spawn(async move { client.get_liveness_result(request).await.map(drop) });
            while calls.try_join_next().is_some() {}
        }
    });
    hostile
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_invented_ids_does_not_take_the_quota_of_another() {
    let facade = Facade::start(&["--quota-tps", "10"]).await;
    let (mut other, mut good) = (client(&facade, 2).await, client(&facade, 3).await);
    let _hostile = request_invented_ids(other.clone());
    let rejected = r#"face_liveness_client_rejections_total{client="other",limit="quota"}"#;
    eventually("the quota is used up", async || facade.metric(rejected).await > 0.0).await;
    for number in 0..20 {
        facade.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(number)) });
        let mut request = Request::new(request(&id(number)));
        request.set_timeout(Duration::from_secs(2));
        good.get_liveness_result(request).await.expect("a result within two seconds");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut request = Request::new(request(&id(999)));
    request.set_timeout(Duration::from_secs(2));
    let error = other.get_liveness_result(request).await.expect_err("its queue is longer than that");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::ResourceExhausted, "QUOTA_EXHAUSTED"));
    let delay = error.get_error_details().retry_info().and_then(|info| info.retry_delay).expect("a retry delay");
    assert!(delay > Duration::from_secs(2), "{delay:?}");
}

#[tokio::test]
async fn one_client_leaves_a_tenth_of_the_requests_in_flight_to_others() {
    let facade = Facade::start(&["--max-requests", "10"]).await;
    facade.place(Session { pace: Pace::Frozen(Status::InProgress), ..Session::new(id(1)) });
    let (one, mut other) = (client(&facade, 2).await, client(&facade, 3).await);
    let mut waits = JoinSet::new();
    for _ in 0..12 {
        let mut one = one.clone();
        let mut request = request(&id(1));
        request.wait = Some(prost_types::Duration { seconds: 50, nanos: 0 });
        waits.spawn(async move { one.get_liveness_result(request).await.map(drop) });
    }
    for _ in 0..3 {
        let error = waits.join_next().await.expect("three are left").expect("no panic").expect_err("it has its share");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    }
    let started = Instant::now();
    other.get_liveness_result(request(&id(1))).await.expect("a tenth is left");
    assert!(started.elapsed() < Duration::from_secs(4));
    assert_eq!(waits.len(), 9);
}
