//! Checks that a request has a Signature Version 4 for Rekognition.
//!
//! Only the form is checked, so any credentials pass. The header must not be logged.

use axum::http::{HeaderMap, header::AUTHORIZATION};

use crate::wire::ApiError;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// See
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(header) = headers.get(AUTHORIZATION) else {
        return Err(ApiError::missing_authentication());
    };
    let fault = match header.to_str() {
        Ok(header) => fault(header),
        Err(_) => Some("Authorization header is not plain text.".to_owned()),
    };
    fault.map_or(Ok(()), |fault| Err(ApiError::incomplete_signature(fault)))
}

fn fault(header: &str) -> Option<String> {
    let Some((ALGORITHM, parameters)) = header.split_once(' ') else {
        return Some(format!("Authorization header must begin with {ALGORITHM}."));
    };
    let value = |name: &str| {
        let mut pairs = parameters.split(',').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value)
    };
    if let Some(missing) = ["Credential", "SignedHeaders", "Signature"].into_iter().find(|name| value(name).is_none()) {
        return Some(format!("Authorization header requires '{missing}' parameter."));
    }
    // From the right, because a made-up access key may contain a slash.
    let mut scope = value("Credential")?.rsplitn(5, '/');
    let [end, service, region, date, key] = std::array::from_fn(|_| scope.next().unwrap_or_default());
    if end != "aws4_request" || region.is_empty() || date.len() != 8 || key.is_empty() {
        return Some("Credential must be of the form key/date/region/rekognition/aws4_request.".to_owned());
    }
    (service != "rekognition")
        .then(|| format!("Credential should be scoped to service 'rekognition', not '{service}'."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(header: Option<&str>) -> Option<String> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(AUTHORIZATION, header.parse().unwrap());
        }
        check(&headers).err().map(|error| error.code.into_owned())
    }

    fn signed(scope: &str) -> String {
        format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature=0f")
    }

    #[test]
    fn any_credentials_pass() {
        assert_eq!(code(Some(&signed("key/20261101/eu-west-1/rekognition/aws4_request"))), None);
        assert_eq!(code(Some(&signed("k/e/y/20261101/us-east-1/rekognition/aws4_request").replace(", ", ","))), None);
    }

    #[test]
    fn a_malformed_or_foreign_signature_is_rejected() {
        assert_eq!(code(None).unwrap(), "MissingAuthenticationTokenException");
        for header in [
            "",
            "Bearer token",
            "AWS4-HMAC-SHA256 Credential=a",
            &signed("key/20261101/eu-west-1/s3/aws4_request"),
            &signed("key/20261101/eu-west-1/rekognition/aws3"),
            &signed("eu-west-1/rekognition/aws4_request"),
            &signed("key/20261101/eu-west-1/rekognition/aws4_request").replace("0f", ""),
        ] {
            assert_eq!(code(Some(header)).unwrap(), "IncompleteSignatureException", "{header}");
        }
    }
}
