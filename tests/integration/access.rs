//! Which clients may call, and which may read images.

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

fn with_view(view: ResultView) -> proto::GetLivenessResultRequest {
    proto::GetLivenessResultRequest { view: view.into(), ..request(&id(1)) }
}

/// Starts a server with mutual TLS. Returns it with the CA of its clients.
async fn mutual(flags: &[&str]) -> (Facade, Authority, Secret) {
    let authority = Authority::new();
    let secret = Secret::new(&authority.server(), &authority.pem);
    let files = secret.mutual();
    let path = |path: &std::path::Path| path.to_str().expect("it is UTF-8").to_owned();
    let (cert, key, ca) = (path(&files.cert), path(&files.key), path(&files.client_ca.expect("a client CA")));
    let tls = ["--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", &ca];
    let facade = Facade::start(&[&tls[..], flags].concat()).await;
    facade.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    (facade, authority, secret)
}

async fn channel(facade: &Facade, authority: &Authority, issued: &Issued) -> Channel {
    let endpoint = Channel::from_shared(format!("https://{}", facade.address)).expect("an address is a URI");
    let endpoint = endpoint.tls_config(with_identity(trusting(authority), issued)).expect("valid certificates");
    endpoint.connect().await.expect("it listens")
}

fn named(authority: &Authority, name: &str) -> Issued {
    let mut params = client();
    params.subject_alt_names = vec![if name.contains(':') { uri(name) } else { dns(name) }];
    authority.issue(params)
}

#[tokio::test]
async fn allowed_clients_may_call_and_image_clients_may_also_read_images() {
    let (facade, authority, _secret) =
        mutual(&["--allowed-clients", "spiffe://example.org/*,web.example.org", "--image-clients", ONBOARDING]).await;
    for (name, may_call, may_read_images) in [
        (CHECKOUT, true, false),
        (ONBOARDING, true, true),
        ("web.example.org", true, false),
        ("WEB.Example.ORG", true, false),
        ("spiffe://example.org/../ns/onboarding", false, false),
        ("other.org", false, false),
    ] {
        let mut client = FaceLivenessServiceClient::new(channel(&facade, &authority, &named(&authority, name)).await);
        let error_of =
            |response: Result<_, tonic::Status>| response.err().map(|status| (status.code(), reason(&status)));
        let denied = |reason: &str| Some((Code::PermissionDenied, reason.to_owned()));
        let basic = error_of(client.get_liveness_result(with_view(ResultView::Basic)).await);
        assert_eq!(basic, if may_call { None } else { denied("CLIENT_NOT_ALLOWED") }, "{name}");
        let images = error_of(client.get_liveness_result(with_view(ResultView::Reference)).await);
        let expected = if may_read_images {
            None
        } else {
            denied(if may_call { "IMAGES_NOT_ALLOWED" } else { "CLIENT_NOT_ALLOWED" })
        };
        assert_eq!(images, expected, "{name}");
    }
}

#[tokio::test]
async fn reflection_requires_an_allowed_client_and_health_checks_do_not() {
    let (facade, authority, _secret) = mutual(&["--allowed-clients", CHECKOUT]).await;
    for (name, allowed) in [(CHECKOUT, true), (ONBOARDING, false)] {
        let channel = channel(&facade, &authority, &named(&authority, name)).await;
        let mut reflection = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
        let response = reflection.server_reflection_info(tokio_stream::empty()).await;
        let error = response.err().map(|status| (status.code(), reason(&status)));
        let expected = (!allowed).then(|| (Code::PermissionDenied, "CLIENT_NOT_ALLOWED".to_owned()));
        assert_eq!(error, expected, "{name}");
        HealthClient::new(channel)
            .check(HealthCheckRequest::default())
            .await
            .expect("health checks need no permission");
    }
}

#[tokio::test]
async fn without_allow_lists_every_client_of_the_ca_may_call() {
    let (facade, authority, _secret) = mutual(&[]).await;
    let mut client = FaceLivenessServiceClient::new(channel(&facade, &authority, &authority.client()).await);
    client.get_liveness_result(with_view(ResultView::Reference)).await.expect("a response");
}

#[tokio::test]
async fn with_xfcc_identity_the_sidecars_header_identifies_the_client() {
    let facade = Facade::start(&["--allowed-clients", CHECKOUT, "--client-identity", "xfcc"]).await;
    facade.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    let mut client = facade.client().await;
    let forwarded = format!(r#"By=spiffe://us;Subject="CN=web";URI={CHECKOUT}"#);
    for (header, allowed) in [
        (None, false),
        (Some(forwarded.clone()), true),
        (Some(format!("URI={CHECKOUT},By=spiffe://us;URI={ONBOARDING}")), false),
        (Some(format!("URI={ONBOARDING},{forwarded}")), true),
        (Some(format!(r#"{forwarded};Subject="unterminated"#)), false),
    ] {
        let mut request = Request::new(with_view(ResultView::Basic));
        if let Some(header) = &header {
            request.metadata_mut().insert("x-forwarded-client-cert", header.parse().expect("ASCII"));
        }
        let response = client.get_liveness_result(request).await;
        assert_eq!(response.is_ok(), allowed, "{header:?}");
        if let Err(status) = response {
            assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "CLIENT_NOT_ALLOWED"));
        }
    }
}
