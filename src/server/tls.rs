//! The server's certificates, and the names in a client's certificate.
//!
//! The files can change while the server runs. Changed files serve new connections; files that
//! cannot be used never replace those that can.

mod files;
mod reload;

pub use files::Files;

use files::{Digest, Validity};
use rustls::{ServerConfig, pki_types::CertificateDer};
use std::{
    sync::{Arc, RwLock},
    time::SystemTime,
};

/// A certificate has one or two names. The limit keeps thousands out of logs and memory.
const MAX_NAMES: usize = 16;

/// A DNS name has at most 253 characters. A longer name is ignored, not truncated: the truncated
/// name could be another client's.
const MAX_NAME_BYTES: usize = 256;

/// The certificate, key and client CA that are served. Clones share them.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    files: Files,
    served: RwLock<Arc<Served>>,
}

struct Served {
    digest: Digest,
    config: Arc<ServerConfig>,
    validity: Validity,
}

/// Files that cannot be used. Equal if neither their content nor the error has changed.
#[derive(Debug, PartialEq, Eq)]
struct Unusable {
    /// None if a file could not be read.
    digest: Option<Digest>,
    sentence: String,
}

impl Tls {
    /// Reads the files. Blocks.
    ///
    /// # Errors
    /// One sentence for an operator, with the path and what to do, without content of the key.
    pub fn load(files: Files) -> Result<Self, String> {
        let served = read(&files, None).map_err(|unusable| unusable.sentence)?;
        let served = served.expect("without a known digest, the files are new");
        Ok(Self(Arc::new(Inner { files, served: RwLock::new(Arc::new(served)) })))
    }

    /// Returns the configuration for new connections: HTTP/2 by ALPN, over TLS 1.2 or 1.3. With a
    /// client CA, a client needs a certificate signed by it.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.served().config)
    }

    /// Returns when the certificate expires.
    pub fn not_after(&self) -> Option<SystemTime> {
        self.served().validity.not_after
    }

    /// Returns a sentence if clients reject the certificate because it has expired.
    pub fn expired(&self) -> Option<String> {
        let not_after = self.not_after().filter(|not_after| *not_after < SystemTime::now())?;
        let date = humantime::format_rfc3339_seconds(not_after);
        Some(format!("the server's certificate has expired: clients reject it since {date}; renew it"))
    }

    /// Returns a sentence if clients reject the certificate because it is not yet valid.
    pub fn not_yet_valid(&self) -> Option<String> {
        let not_before = self.served().validity.not_before.filter(|not_before| *not_before > SystemTime::now())?;
        let date = humantime::format_rfc3339_seconds(not_before);
        Some(format!("the server's certificate is not yet valid: clients reject it until {date}; is the clock right?"))
    }

    /// Reads the files, and serves them if they are new and can be used. Returns whether they are
    /// new. Blocks.
    fn reload(&self) -> Result<bool, Unusable> {
        let Some(served) = read(&self.0.files, Some(self.served().digest))? else { return Ok(false) };
        *self.0.served.write().expect("nothing panics under this lock") = Arc::new(served);
        Ok(true)
    }

    fn served(&self) -> Arc<Served> {
        Arc::clone(&self.0.served.read().expect("nothing panics under this lock"))
    }
}

/// Returns None if the files have the digest `known`.
fn read(files: &Files, known: Option<Digest>) -> Result<Option<Served>, Unusable> {
    let contents = files.read().map_err(|sentence| Unusable { digest: None, sentence })?;
    let digest = contents.digest();
    if known == Some(digest) {
        return Ok(None);
    }
    let built = contents.build(files).map_err(|sentence| Unusable { digest: Some(digest), sentence });
    built.map(|(config, validity)| Some(Served { digest, config: Arc::new(config), validity }))
}

/// Returns the names in a client's verified certificate: URIs, as SPIFFE uses them, before DNS
/// names. They are printable ASCII, since they are logged.
pub fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return Vec::new() };
    let names = certificate.valid_uri_names().chain(certificate.valid_dns_names());
    let is_usable = |name: &&str| name.len() <= MAX_NAME_BYTES && name.bytes().all(|byte| byte.is_ascii_graphic());
    names.filter(is_usable).take(MAX_NAMES).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
