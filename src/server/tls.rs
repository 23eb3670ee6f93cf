//! The server's certificates, and who a client is by its own.
//!
//! Files change while the server runs, so they are read again and again, and what is new serves new
//! connections only. What is broken never replaces what is sound. Connections are not made here.

mod files;
mod renewal;
#[cfg(test)]
mod tests;

pub use files::Files;

use rustls::{ServerConfig, pki_types::CertificateDer};
use std::{
    convert::Infallible,
    sync::{Arc, RwLock},
    time::{Duration, SystemTime},
};

/// A certificate has one or two names. The bound keeps one with thousands out of logs and of
/// memory.
const MAX_NAMES: usize = 16;

/// A DNS name has 253 characters at most. A longer name is left out, since a part of it could be
/// the name of another.
const MAX_NAME_BYTES: usize = 256;

/// Several looks at the same broken files, before they are told: whoever replaces two files one
/// after the other breaks the set for a moment, and so does a replacement while they are read.
const LOOKS_UNTIL_TOLD: u32 = 2;

/// Certificate, key and client CA as they were last sound. Cheap to clone; all clones serve the
/// same.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    files: Files,
    served: RwLock<Arc<Served>>,
}

struct Served {
    digest: files::Digest,
    config: Arc<ServerConfig>,
    validity: Validity,
}

/// From when until when a certificate is valid. A time is absent when the certificate has none.
#[derive(Clone, Copy, Debug)]
struct Validity {
    not_before: Option<SystemTime>,
    not_after: Option<SystemTime>,
}

/// Files that cannot be served. The same content gives the same value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Broken {
    /// None when not all could be read.
    digest: Option<files::Digest>,
    sentence: String,
}

impl Tls {
    /// Reads the files, blocking.
    ///
    /// # Errors
    /// One sentence for an operator, with the path and what to do; nothing of a key's content.
    pub fn load(files: Files) -> Result<Self, String> {
        let served = read(&files, None).map_err(|broken| broken.sentence)?;
        let served = served.expect("nothing is served yet, so that everything is new");
        Ok(Self(Arc::new(Inner { files, served: RwLock::new(Arc::new(served)) })))
    }

    /// What a connection that begins now is served with: HTTP/2 by ALPN, over TLS 1.2 or 1.3. With
    /// a client CA, a client needs a certificate of it.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.served().config)
    }

    /// When the certificate that is served expires.
    pub fn not_after(&self) -> Option<SystemTime> {
        self.served().validity.not_after
    }

    /// Returns why no client accepts the certificate any longer.
    pub fn expired(&self) -> Option<String> {
        let not_after = self.not_after().filter(|not_after| *not_after < SystemTime::now())?;
        let date = humantime::format_rfc3339_seconds(not_after);
        Some(format!("the server's certificate has expired: clients reject it since {date}; renew it"))
    }

    /// Returns why no client accepts the certificate yet.
    pub fn not_yet_valid(&self) -> Option<String> {
        let not_before = self.served().validity.not_before.filter(|not_before| *not_before > SystemTime::now())?;
        let date = humantime::format_rfc3339_seconds(not_before);
        Some(format!("the server's certificate is not yet valid: clients reject it until {date}; is the clock right?"))
    }

    /// Reads the files again every `period`, for as long as it is polled, and serves what is new
    /// and sound.
    ///
    /// Calls `told` with `Ok` for each set that is served from then on, and with one sentence,
    /// once, for each that cannot be and has stood for two looks. The set before goes on being
    /// served then.
    pub async fn watch(&self, period: Duration, told: impl Fn(Result<(), &str>)) -> Infallible {
        let mut suspicion = Suspicion::default();
        loop {
            tokio::time::sleep(period).await;
            let tls = self.clone();
            // It fails only when the runtime is on its way down.
            let Ok(look) = tokio::task::spawn_blocking(move || tls.look()).await else { continue };
            match suspicion.judge(look) {
                Some(Ok(())) => told(Ok(())),
                Some(Err(sentence)) => told(Err(&sentence)),
                None => {}
            }
        }
    }

    /// Reads the files and serves them from now on, where they are new and sound; tells whether
    /// they were.
    fn look(&self) -> Result<bool, Broken> {
        let served = read(&self.0.files, Some(self.served().digest))?;
        let changed = served.is_some();
        if let Some(served) = served {
            *self.0.served.write().expect("no one panics with it") = Arc::new(served);
        }
        Ok(changed)
    }

    fn served(&self) -> Arc<Served> {
        Arc::clone(&self.0.served.read().expect("no one panics with it"))
    }
}

/// None when the files are those with the digest `known`.
fn read(files: &Files, known: Option<files::Digest>) -> Result<Option<Served>, Broken> {
    let set = files.read().map_err(|sentence| Broken { digest: None, sentence })?;
    let digest = set.digest();
    if known == Some(digest) {
        return Ok(None);
    }
    let (config, validity) = set.build(files).map_err(|sentence| Broken { digest: Some(digest), sentence })?;
    Ok(Some(Served { digest, config: Arc::new(config), validity }))
}

/// The broken set that was seen last, and in how many looks.
#[derive(Default)]
struct Suspicion {
    broken: Option<Broken>,
    looks: u32,
}

impl Suspicion {
    /// What there is to tell after a look.
    fn judge(&mut self, look: Result<bool, Broken>) -> Option<Result<(), String>> {
        let broken = match look {
            Ok(changed) => {
                *self = Self::default();
                return changed.then_some(Ok(()));
            }
            Err(broken) => broken,
        };
        if self.broken.as_ref() != Some(&broken) {
            *self = Self { broken: Some(broken.clone()), looks: 0 };
        }
        self.looks = self.looks.saturating_add(1);
        (self.looks == LOOKS_UNTIL_TOLD).then_some(Err(broken.sentence))
    }
}

/// The names of a client by its verified certificate: those that are URIs, as SPIFFE has them,
/// before those of DNS. Printable ASCII, since they go to logs.
pub fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return Vec::new() };
    let names = certificate.valid_uri_names().chain(certificate.valid_dns_names());
    let usable = |name: &&str| name.len() <= MAX_NAME_BYTES && name.bytes().all(|byte| byte.is_ascii_graphic());
    names.filter(usable).take(MAX_NAMES).map(str::to_owned).collect()
}
