//! The settings of the store, and the client that they make.

use super::credentials::{Credentials, Sources};
use crate::config::Secret;
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates, io::tcp::TcpSettings};
use std::{fs, path::PathBuf, time::Duration};

#[derive(Clone, Debug)]
pub struct Settings {
    address: ConnectionInfo,
    ca: Option<PathBuf>,
    pub credentials: Sources,
    /// Per command.
    pub timeout: Duration,
}

impl Settings {
    /// Validates the settings without connecting.
    ///
    /// # Errors
    /// One sentence for the operator, without the URL and the password.
    pub fn new(url: &Secret, ca: Option<PathBuf>, credentials: Sources, timeout: Duration) -> Result<Self, String> {
        const FORM: &str = "must be a URL such as rediss://cache.example.org:6379";
        let url = url.reveal();
        if !["redis://", "rediss://"].iter().any(|scheme| url.starts_with(scheme)) || url.contains('#') {
            return Err(FORM.to_owned());
        }
        let address = url.into_connection_info().map_err(|_| FORM.to_owned())?;
        let encrypted = matches!(address.addr(), ConnectionAddr::TcpTls { .. });
        if ca.is_some() && !encrypted {
            return Err("must be rediss:// where --shared-cache-ca is given".to_owned());
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
        let root_cert = match &self.ca {
            None => None,
            Some(ca) => Some(fs::read(ca).map_err(|error| format!("{} cannot be read: {error}", ca.display()))?),
        };
        let client = match self.address.addr() {
            ConnectionAddr::TcpTls { .. } => {
                Client::build_with_tls(address, TlsCertificates { client_tls: None, root_cert })
            }
            _ => Client::open(address),
        };
        client.map_err(|error| format!("no client can be created: {}", error.category()))
    }
}
