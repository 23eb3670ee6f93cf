//! Who may ask, and who may see faces.

use crate::{
    certificates::{Authority, Issued, Secret, client, dns, uri},
    facade::{Facade, id, reason, request},
    port::{trusting, with_identity},
};
use face_liveness_facade::{
    proto::{self, ResultView, face_liveness_service_client::FaceLivenessServiceClient},
    simulator::{Pace, Session, Status},
};
use tonic::{Code, Request, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1;

const CHECKOUT: &str = "spiffe://example.org/ns/checkout/sa/web";
const ONBOARDING: &str = "spiffe://example.org/ns/onboarding/sa/api";

fn ask(view: ResultView) -> proto::GetLivenessResultRequest {
    proto::GetLivenessResultRequest { view: view.into(), ..request(&id(1)) }
}

/// A server with mutual TLS, and the authority whose clients it lets in.
async fn mutual(flags: &[&str]) -> (Facade, Authority, Secret) {
    let authority = Authority::new();
    let secret = Secret::new(&authority.server(), &authority.pem);
    let files = secret.mutual();
    let path = |path: &std::path::Path| path.to_str().expect("it is UTF-8").to_owned();
    let (cert, key, ca) = (path(&files.cert), path(&files.key), path(&files.client_ca.expect("it is mutual")));
    let tls = ["--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", &ca];
    let facade = Facade::start(&[&tls[..], flags].concat()).await;
    facade.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    (facade, authority, secret)
}

async fn channel(facade: &Facade, authority: &Authority, issued: &Issued) -> Channel {
    let endpoint = Channel::from_shared(format!("https://{}", facade.address)).expect("an address is a URI");
    let endpoint = endpoint.tls_config(with_identity(trusting(authority), issued)).expect("sound certificates");
    endpoint.connect().await.expect("it listens")
}

fn named(authority: &Authority, name: &str) -> Issued {
    let mut params = client();
    params.subject_alt_names = vec![if name.contains(':') { uri(name) } else { dns(name) }];
    authority.issue(params)
}

#[tokio::test]
async fn only_clients_on_the_list_may_ask_and_only_those_on_the_other_may_see_faces() {
    let (facade, authority, _secret) =
        mutual(&["--allowed-clients", "spiffe://example.org/*,web.example.org", "--image-clients", ONBOARDING]).await;
    for (name, asks, sees) in [
        (CHECKOUT, true, false),
        (ONBOARDING, true, true),
        ("web.example.org", true, false),
        ("other.org", false, false),
    ] {
        let mut client = FaceLivenessServiceClient::new(channel(&facade, &authority, &named(&authority, name)).await);
        let refused = |answer: Result<_, tonic::Status>| answer.err().map(|status| (status.code(), reason(&status)));
        let refusal = |reason: &str| Some((Code::PermissionDenied, reason.to_owned()));
        let basic = refused(client.get_liveness_result(ask(ResultView::Basic)).await);
        assert_eq!(basic, if asks { None } else { refusal("CLIENT_NOT_ALLOWED") }, "{name}");
        let images = refused(client.get_liveness_result(ask(ResultView::Reference)).await);
        let expected =
            if sees { None } else { refusal(if asks { "IMAGES_NOT_ALLOWED" } else { "CLIENT_NOT_ALLOWED" }) };
        assert_eq!(images, expected, "{name}");
    }
}

#[tokio::test]
async fn reflection_obeys_the_list_and_health_is_for_all() {
    let (facade, authority, _secret) = mutual(&["--allowed-clients", CHECKOUT]).await;
    for (name, allowed) in [(CHECKOUT, true), (ONBOARDING, false)] {
        let channel = channel(&facade, &authority, &named(&authority, name)).await;
        let mut reflection = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
        let answer = reflection.server_reflection_info(tokio_stream::empty()).await;
        let refused = answer.err().map(|status| (status.code(), reason(&status)));
        let expected = (!allowed).then(|| (Code::PermissionDenied, "CLIENT_NOT_ALLOWED".to_owned()));
        assert_eq!(refused, expected, "{name}");
        HealthClient::new(channel).check(HealthCheckRequest::default()).await.expect("health is for all");
    }
}

#[tokio::test]
async fn without_a_list_every_client_of_the_ca_may_ask() {
    let (facade, authority, _secret) = mutual(&[]).await;
    let mut client = FaceLivenessServiceClient::new(channel(&facade, &authority, &authority.client()).await);
    client.get_liveness_result(ask(ResultView::Reference)).await.expect("an answer");
}

#[tokio::test]
async fn behind_a_sidecar_its_header_tells_who_asks() {
    let facade = Facade::start(&["--allowed-clients", CHECKOUT, "--client-identity", "xfcc"]).await;
    facade.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    let mut client = facade.client().await;
    let theirs = format!(r#"By=spiffe://us;Subject="CN=web";URI={CHECKOUT}"#);
    for (header, allowed) in [
        (None, false),
        (Some(theirs.clone()), true),
        (Some(format!("URI={CHECKOUT},By=spiffe://us;URI={ONBOARDING}")), false),
        (Some(format!("URI={ONBOARDING},{theirs}")), true),
        (Some(format!(r#"{theirs};Subject="unterminated"#)), false),
    ] {
        let mut request = Request::new(ask(ResultView::Basic));
        if let Some(header) = &header {
            request.metadata_mut().insert("x-forwarded-client-cert", header.parse().expect("ASCII"));
        }
        let answer = client.get_liveness_result(request).await;
        assert_eq!(answer.is_ok(), allowed, "{header:?}");
        if let Err(status) = answer {
            assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "CLIENT_NOT_ALLOWED"));
        }
    }
}
