//! Checks that reads from AWS work, by reading a session that cannot exist. SESSION_NOT_FOUND is
//! the proof: AWS accepted the credentials, and its policy allows the read. Also checks the health
//! of a server, and tries the shared cache. A failure of one does not end the others.

use super::{failure::Failure, health};
use crate::{
    config,
    error::{Error, Reason},
    rekognition::{Loaded, NoCredentials, Rekognition},
    server::SERVICE_NAME,
    session::SessionId,
    store,
    telemetry::spans,
};
use std::time::{Duration, Instant};
use tonic_health::pb::health_check_response::ServingStatus;

/// How long to try to reach the server. Kubernetes routes a Service to a pod only some time after
/// the pod is ready, and `helm install --wait` does not wait for that.
const ROUTE_DELAY: Duration = Duration::from_secs(5);

pub async fn run(config: config::Check, warnings: &[String]) -> Result<(), Failure> {
    let mut loaded = Rekognition::from_environment(config.upstream_timeout).await;
    if !loaded.malformed.is_empty() {
        return Err(Failure::Configuration(loaded.malformed));
    }
    loaded.warnings.splice(0..0, warnings.iter().cloned());
    loaded.warnings.iter().for_each(|sentence| println!("warning      {sentence}"));
    let results =
        [check_server(&config).await, check_read(loaded).await, check_shared_cache(&config.shared_cache).await];
    let problems: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ").into()) }
}

async fn check_server(config: &config::Check) -> Result<(), String> {
    let Some(address) = &config.server else { return Ok(()) };
    let until = Instant::now() + ROUTE_DELAY;
    let status = loop {
        match health::status("--server", address, SERVICE_NAME, config.upstream_timeout).await {
            Err(_) if Instant::now() < until => tokio::time::sleep(ROUTE_DELAY / 10).await,
            status => break status?,
        }
    };
    match status {
        ServingStatus::Serving => println!("server       {address} is ready"),
        _ => return Err(format!("the server at {address} is not ready: its log says why")),
    }
    Ok(())
}

async fn check_shared_cache(config: &config::SharedCache) -> Result<(), String> {
    let Some((settings, _)) = config.settings()? else { return Ok(()) };
    let checked = store::check(&settings).await;
    checked.map_err(|error| format!("the shared cache at {} cannot be used: {error}", settings.address()))?;
    println!("shared cache {} accepts reads and writes", settings.address());
    Ok(())
}

async fn check_read(loaded: Loaded) -> Result<(), String> {
    let Loaded { rekognition, endpoint, missing, .. } = loaded;
    let Some(region) = rekognition.region().filter(|_| missing.is_empty()) else {
        return Err(missing.join("; "));
    };
    let endpoint = endpoint.ok_or_else(|| {
        format!("AWS has no FIPS or dual-stack endpoint in {region}: unset AWS_USE_FIPS_ENDPOINT, AWS_USE_DUALSTACK_ENDPOINT")
    })?;
    println!("region       {region}");
    println!("endpoint     {endpoint}");
    rekognition.check_credentials().await.map_err(|error| match error {
        NoCredentials::NotFound => format!(
            "{error}: give the process a role (IRSA, EKS Pod Identity, an instance profile), or set \
             AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. If it has one of these, its token cannot be \
             read, or the source of credentials (STS, an agent, IMDS) cannot be reached or rejects it"
        ),
        NoCredentials::NoRegion | NoCredentials::Malformed { .. } => format!("{error}: fix their source"),
    })?;
    println!("credentials  found");
    match rekognition.read(SessionId::random(), &spans::Caller::current()).await {
        Err(error) if error.reason == Reason::SessionNotFound => {
            println!("permission   rekognition:GetFaceLivenessSessionResults is granted");
            Ok(())
        }
        Ok(_) => Err(format!("{endpoint} returns a result for a session that cannot exist: it is not AWS")),
        Err(error) => Err(format!("{}{}", advice(&error, region, &endpoint), aws_ids(&error))),
    }
}

fn advice(error: &Error, region: &str, endpoint: &str) -> String {
    match error.reason {
        Reason::UpstreamAccessDenied => format!(
            "AWS denies the read: allow rekognition:GetFaceLivenessSessionResults on \"*\" to this role. If it is allowed, either \
             {region} has no Face Liveness, or a policy of the organization or of a VPC endpoint denies it"
        ),
        Reason::UpstreamCredentials => {
            "AWS rejects the credentials: they have expired or are another account's, or this machine's \
                                        clock is wrong"
                .to_owned()
        }
        Reason::UpstreamThrottled => {
            "AWS throttles: credentials and region are accepted, but others use up the account's quota; try \
                                      again"
                .to_owned()
        }
        Reason::UpstreamTimeout => {
            format!(
                "{endpoint} does not respond in time: is there a route to it (a NAT gateway, a VPC endpoint, HTTPS_PROXY)?"
            )
        }
        Reason::UpstreamUnavailable => format!(
            "{endpoint} cannot be reached, or has an internal error: is there a route to it (DNS, a NAT gateway, a VPC endpoint, \
             HTTPS_PROXY), is its CA trusted (AWS_CA_BUNDLE), and is it the endpoint that you want (AWS_REGION is {region}; \
             AWS_ENDPOINT_URL_REKOGNITION)?"
        ),
        Reason::UpstreamMalformed => {
            format!("{endpoint} does not respond like AWS: check AWS_ENDPOINT_URL_REKOGNITION, and the proxy if any")
        }
        Reason::Internal => "this program has a defect: report the lines above".to_owned(),
        _ => "AWS rejects the read with an error that this version does not know".to_owned(),
    }
}

/// Returns the identifiers that AWS support needs.
fn aws_ids(error: &Error) -> String {
    let code = error.aws_code.iter().map(|code| format!("AWS error code {code}"));
    let request = error.aws_request_id.iter().map(|id| format!("AWS request id {id}"));
    let ids: Vec<_> = code.chain(request).collect();
    if ids.is_empty() { String::new() } else { format!(" ({})", ids.join(", ")) }
}
