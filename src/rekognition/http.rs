//! The HTTP client of Rekognition and of the sources of credentials (STS, SSO, IMDS, agents).
//!
//! The SDK's own client stays on a connection that has gone silent, connects to one address of a
//! name only, sends the tokens of credential agents to a proxy, and ignores `AWS_CA_BUNDLE`.

pub mod ca_bundle;
mod resolver;
mod silent;

pub use silent::ReplaceSilent;

use aws_sdk_rekognition::{
    config::{ConfigBag, HttpClient, RuntimeComponents, RuntimeComponentsBuilder, SharedHttpClient},
    error::BoxError,
};
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    dns::ResolveDns,
    http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use resolver::{Rotating, System};
use std::{
    net::IpAddr,
    sync::{Arc, RwLock},
};
use tonic::codegen::http::Uri;

/// An HTTP client. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Http(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tls: TlsContext,
    proxy: ProxyConfig,
    resolver: Rotating,
    connections: RwLock<Connections>,
}

#[derive(Clone, Debug)]
struct Connections {
    direct: SharedHttpClient,
    by_proxy: SharedHttpClient,
}

impl Http {
    pub fn new(tls: TlsContext, proxy: ProxyConfig) -> Self {
        Self::with_names(tls, proxy, System)
    }

    fn with_names(tls: TlsContext, proxy: ProxyConfig, names: impl ResolveDns + 'static) -> Self {
        let resolver = Rotating::new(names);
        let connections = RwLock::new(Connections::new(&tls, &proxy, &resolver));
        Self(Arc::new(Inner { tls, proxy, resolver, connections }))
    }

    /// Opens new connections for all later requests. Requests in flight keep theirs.
    fn reconnect(&self) {
        let Inner { tls, proxy, resolver, connections } = &*self.0;
        *connections.write().expect("no thread panics while holding the lock") = Connections::new(tls, proxy, resolver);
    }
}

impl Connections {
    /// Returns clients without connections. They connect on their first request.
    fn new(tls: &TlsContext, proxy: &ProxyConfig, resolver: &Rotating) -> Self {
        let client = |proxy: ProxyConfig| {
            let (tls, resolver) = (tls.clone(), resolver.clone());
            Builder::new().build_with_connector_fn(move |settings, components| {
                let mut connector = Connector::builder()
                    .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                    .tls_context(tls.clone())
                    .proxy_config(proxy.clone());
                connector.set_connector_settings(settings.cloned());
                connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
                connector.build_with_resolver(resolver.clone())
            })
        };
        Self { direct: client(ProxyConfig::disabled()), by_proxy: client(proxy.clone()) }
    }
}

impl HttpClient for Http {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let connections = self.0.connections.read().expect("no thread panics while holding the lock").clone();
        SharedHttpConnector::new(ByHost { connections, settings: settings.clone(), components: components.clone() })
    }

    /// Loads the system's CAs, before the first request.
    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        let connections = self.0.connections.read().expect("no thread panics while holding the lock");
        connections.direct.validate_base_client_config(components, config)
    }
}

/// Connects to a local host without a proxy: it is none of the proxy's, and credential agents such
/// as EKS Pod Identity get a token of this process.
#[derive(Debug)]
struct ByHost {
    connections: Connections,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for ByHost {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Connections { direct, by_proxy } = &self.connections;
        let client = if is_local(request.uri()) { direct } else { by_proxy };
        client.http_connector(&self.settings, &self.components).call(request)
    }
}

/// Whether the host of a URL is this machine, or is link-local: IMDS and the agents of ECS and EKS,
/// which over IPv6 are in fd00:ec2::/32.
fn is_local(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else { return false };
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    match host.parse().map(|address: IpAddr| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            let is_agent = address.segments()[..2] == [0xfd00, 0x0ec2];
            address.is_loopback() || address.is_unicast_link_local() || is_agent
        }
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_credential_agents_are_local() {
        for url in [
            "http://169.254.170.2/v2/credentials",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://169.254.169.254/latest/api/token",
            "http://[fd00:ec2::254]/latest/api/token",
            "http://[fe80::1]:80/",
            "http://[::ffff:169.254.169.254]/",
            "http://127.0.0.2:8080/",
            "http://[::1]:1/",
            "http://LocalHost:1338/",
        ] {
            assert!(is_local(url), "{url}");
        }
        for url in [
            "https://rekognition.us-east-1.amazonaws.com/",
            "https://10.0.0.1/",
            "https://169.253.1.1/",
            "https://[fd00:ec3::23]/",
            "https://127.0.0.1.example.org/",
            "no url",
        ] {
            assert!(!is_local(url), "{url}");
        }
    }
}
