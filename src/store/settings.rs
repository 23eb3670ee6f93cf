//! Where the store is, and how it is asked.

use super::credentials::{Credentials, Sources};
use crate::config::Secret;
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates, io::tcp::TcpSettings};
use std::{fs, path::PathBuf, time::Duration};

#[derive(Clone, Debug)]
pub struct Settings {
    address: ConnectionInfo,
    ca: Option<PathBuf>,
    pub credentials: Sources,
    /// How long a question may take.
    pub timeout: Duration,
}

impl Settings {
    /// Settings that a connection can be made from, as far as that can be seen without one.
    ///
    /// # Errors
    /// One sentence for an operator, with neither the URL nor a password in it.
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

    /// Host and port.
    pub fn place(&self) -> String {
        self.address.addr().to_string()
    }

    /// A client with these credentials, and with the authorities that the file has now.
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
        let made = match self.address.addr() {
            ConnectionAddr::TcpTls { .. } => {
                Client::build_with_tls(address, TlsCertificates { client_tls: None, root_cert })
            }
            _ => Client::open(address),
        };
        made.map_err(|error| format!("no connection can be made from this: {}", error.category()))
    }
}
