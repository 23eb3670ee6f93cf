//! Checks that reads from AWS work, by reading a session that cannot exist. SESSION_NOT_FOUND is the
//! proof: AWS accepted the credentials, and its policy allows the read.

use super::Failure;
use crate::{
    config,
    error::{Error, Reason},
    rekognition::{Loaded, NoCredentials, Rekognition},
    session::SessionId,
    telemetry::spans,
};

pub async fn run(config: config::Check, warnings: &[String]) -> Result<(), Failure> {
    let loaded = Rekognition::from_environment(config.upstream_timeout).await;
    let Loaded { rekognition, malformed, missing, warnings: aws_warnings } = loaded;
    if !malformed.is_empty() {
        return Err(Failure::Configuration(malformed));
    }
    warnings.iter().chain(&aws_warnings).for_each(|sentence| println!("warning      {sentence}"));
    let Some(region) = rekognition.region().filter(|_| missing.is_empty()) else {
        return Err(Failure::Other(missing.join("; ")));
    };
    println!("region       {region}");
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
        Ok(_) => Err("the endpoint returns a result for a session that cannot exist: it is not AWS".to_owned().into()),
        Err(error) => Err(format!("{}{}", advice(&error, region), aws_ids(&error)).into()),
    }
}

fn advice(error: &Error, region: &str) -> String {
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
            "AWS does not respond in time: is there a route to it (a NAT gateway, a VPC endpoint, HTTPS_PROXY)?"
                .to_owned()
        }
        Reason::UpstreamUnavailable => format!(
            "AWS cannot be reached, or has an internal error: is there a route to rekognition.{region}.amazonaws.com (DNS, a NAT \
             gateway, a VPC endpoint, HTTPS_PROXY), or to the endpoint in AWS_ENDPOINT_URL_REKOGNITION?"
        ),
        Reason::UpstreamMalformed => {
            "the endpoint does not respond like AWS: check AWS_ENDPOINT_URL_REKOGNITION, and the proxy if any"
                .to_owned()
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
