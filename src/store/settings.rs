//! The settings of the store, and the client that they make.

use super::credentials::{CredentialSources, Credentials};
use crate::config::Secret;
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates, io::tcp::TcpSettings};
use std::{fs, path::PathBuf, time::Duration};

#[derive(Clone, Debug)]
pub struct StoreSettings {
    address: ConnectionInfo,
    ca: Option<PathBuf>,
    pub credentials: CredentialSources,
    /// Per command.
    pub timeout: Duration,
}

impl StoreSettings {
    /// Validates the settings without connecting.
    ///
    /// # Errors
    /// One sentence for the operator, without the URL and the password.
    pub fn new(
        url: &Secret,
        ca: Option<PathBuf>,
        credentials: CredentialSources,
        timeout: Duration,
    ) -> Result<Self, String> {
        const FORM: &str = "must be a URL such as rediss://cache.example.org:6379";
        let url = url.reveal();
        if !["redis://", "rediss://"].iter().any(|scheme| url.starts_with(scheme)) || url.contains('#') {
            return Err(FORM.to_owned());
        }
        let address = url.into_connection_info().map_err(|_| FORM.to_owned())?;
        let encrypted = matches!(address.addr(), ConnectionAddr::TcpTls { .. });
        if ca.is_some() && !encrypted {
            return Err("must be rediss:// if --shared-cache-ca is set".to_owned());
        }
        let settings = Self { address, ca, credentials, timeout };
        settings.client(&settings.credentials.read()?)?;
        Ok(settings)
    }

    /// Returns host and port.
    pub fn address(&self) -> String {
        self.address.addr().to_string()
    }

    /// Creates a client with these credentials and the current CA file.
    pub fn client(&self, credentials: &Credentials) -> Result<Client, String> {
        let mut redis = self.address.redis_settings().clone();
        if let Some(username) = &credentials.username {
            redis = redis.set_username(username.reveal());
        }
        if let Some(password) = &credentials.password {
            redis = redis.set_password(password.reveal());
        }
        let address =
            self.address.clone().set_redis_settings(redis).set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = match &self.ca {
            Some(ca) => {
                let pem = fs::read(ca).map_err(|error| format!("{} cannot be read: {error}", ca.display()))?;
                Client::build_with_tls(address, TlsCertificates { client_tls: None, root_cert: Some(pem) })
            }
            None => Client::open(address),
        };
        client.map_err(|error| format!("no client can be created: {}", error.category()))
    }
}
