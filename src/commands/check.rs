//! Proves that a read from AWS is possible, with one read of a session that cannot exist: that AWS
//! does not know it is the proof.

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
    let Loaded { rekognition, malformed, missing, warnings: about_aws } = loaded;
    if !malformed.is_empty() {
        return Err(Failure::Configuration(malformed));
    }
    warnings.iter().chain(&about_aws).for_each(|sentence| println!("warning      {sentence}"));
    let Some(region) = rekognition.region().filter(|_| missing.is_empty()) else {
        return Err(Failure::Other(missing.join("; ")));
    };
    println!("region       {region}");
    rekognition.check_credentials().await.map_err(|error| match error {
        NoCredentials::NotFound => format!(
            "{error}: give the process a role (IRSA, EKS Pod Identity, an instance profile), or set \
             AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. If it has one of these, its token cannot be \
             read, or where credentials come from (STS, an agent, IMDS) cannot be reached or refuses"
        ),
        NoCredentials::NoRegion | NoCredentials::Malformed { .. } => format!("{error}: correct their source"),
    })?;
    println!("credentials  found");
    match rekognition.read(SessionId::random(), &spans::Caller::current()).await {
        Err(error) if error.reason == Reason::SessionNotFound => {
            println!("permission   rekognition:GetFaceLivenessSessionResults is granted");
            Ok(())
        }
        Ok(_) => {
            Err("the endpoint knows a session that cannot exist: it is not AWS, nor a good stand-in".to_owned().into())
        }
        Err(error) => Err(format!("{}{}", advice(&error, region), traces(&error)).into()),
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
            "AWS does not answer in time: is there a way to it (a NAT gateway, a VPC endpoint, HTTPS_PROXY)?".to_owned()
        }
        Reason::UpstreamUnavailable => format!(
            "AWS cannot be reached, or has an error of its own: is there a way to rekognition.{region}.amazonaws.com (DNS, a NAT \
             gateway, a VPC endpoint, HTTPS_PROXY), or to the endpoint in AWS_ENDPOINT_URL_REKOGNITION?"
        ),
        Reason::UpstreamMalformed => {
            "the endpoint does not answer as AWS does: is AWS_ENDPOINT_URL_REKOGNITION, or a proxy, right?".to_owned()
        }
        Reason::Internal => "this program has a defect, which the lines above name: report it".to_owned(),
        _ => "AWS refuses the read for a reason that this version does not know".to_owned(),
    }
}

/// What AWS's support asks for.
fn traces(error: &Error) -> String {
    let code = error.aws_code.iter().map(|code| format!("AWS error code {code}"));
    let request = error.aws_request_id.iter().map(|id| format!("AWS request id {id}"));
    let traces: Vec<_> = code.chain(request).collect();
    if traces.is_empty() { String::new() } else { format!(" ({})", traces.join(", ")) }
}
