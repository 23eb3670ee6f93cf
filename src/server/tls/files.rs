//! The PEM files, read and validated as one set.
//!
//! No error quotes the files. The libraries' own errors about PEM quote lines, which may be of the
//! key.

use aws_lc_rs::digest;
use rustls::{
    Error, InconsistentKeys, RootCertStore, ServerConfig,
    crypto::{self, CryptoProvider},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Far above any bundle of CAs. The limit keeps a wrong path from filling the memory.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// A digest of the files' content, which detects changes without a second copy of the key.
pub(super) type Digest = [u8; digest::SHA256_OUTPUT_LEN];

/// The paths of the PEM files.
#[derive(Clone, Debug)]
pub struct Files {
    /// The server's certificate, then those of the intermediate CAs.
    pub cert: PathBuf,
    /// The private key as PKCS#8, SEC1 or PKCS#1, not encrypted.
    pub key: PathBuf,
    /// The CAs of client certificates. With it, every client needs a certificate signed by one.
    pub client_ca: Option<PathBuf>,
}

/// When a certificate is valid. A time is None if the certificate has none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    pub(super) not_before: Option<SystemTime>,
    pub(super) not_after: Option<SystemTime>,
}

/// The content of the files.
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Files {
    pub(super) fn read(&self) -> Result<Contents, String> {
        let client_ca = self.client_ca.as_deref().map(|path| read("client CA", path));
        Ok(Contents {
            cert: read("certificate", &self.cert)?,
            key: read("key", &self.key)?,
            client_ca: client_ca.transpose()?,
        })
    }
}

impl Contents {
    pub(super) fn digest(&self) -> Digest {
        let mut context = digest::Context::new(&digest::SHA256);
        for content in [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten() {
            // With its length: a line that moves from one file to the next is a change, too.
            context.update(&content.len().to_be_bytes());
            context.update(content);
        }
        context.finish().as_ref().try_into().expect("SHA-256 has a fixed length")
    }

    /// Returns the TLS configuration, and when its certificate is valid.
    ///
    /// # Errors
    /// One sentence for an operator.
    pub(super) fn build(&self, files: &Files) -> Result<(ServerConfig, Validity), String> {
        // Explicit, so that it does not depend on a default provider that a library installs or
        // not.
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let chain = certificates("certificate", &files.cert, &self.cert)?;
        let validity = validity(&chain[0]);
        let key = private_key(&files.key, &self.key)?;
        let key = provider.key_provider.load_private_key(key).map_err(|_| {
            format!(
                "the key {} is of a kind that cannot be used: create an ECDSA key (P-256, P-384, P-521), an Ed25519 key, \
                 or an RSA key of 2048 bits or more",
                files.key.display()
            )
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(_) => {
                return Err(format!(
                    "the key {} does not belong to the first certificate in {}: give both of the same issue, the server's own \
                     certificate before those of its CAs",
                    files.key.display(),
                    files.cert.display()
                ));
            }
        }
        let verifier = match (&files.client_ca, &self.client_ca) {
            (Some(path), Some(content)) => client_verifier(path, content, Arc::clone(&provider))?,
            _ => WebPkiClientVerifier::no_client_auth(),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .expect("the provider has suites for both versions")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![b"h2".to_vec()];
        // No resumption: a resumed session is not verified again, although the client's certificate
        // may have expired. gRPC connections are long, so full handshakes are rare.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok((config, validity))
    }
}

fn read(what: &str, path: &Path) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content));
    let path = path.display();
    match read {
        Ok(bytes) if bytes as u64 > MAX_FILE_BYTES => {
            Err(format!("the {what} {path} is larger than {MAX_FILE_BYTES} bytes: give the path of a PEM file"))
        }
        Ok(_) => Ok(content),
        Err(error) => Err(format!(
            "cannot read the {what} {path} ({error}): give the path of a PEM file that this process may read"
        )),
    }
}

/// Returns the certificates of a file, at least one.
fn certificates(what: &str, path: &Path, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let path = path.display();
    let certificates = CertificateDer::pem_slice_iter(content).collect::<Result<Vec<_>, _>>();
    let certificates = certificates
        .map_err(|_| format!("the {what} {path} is damaged or cut short: write the PEM file again, as a whole"))?;
    if certificates.is_empty() {
        return Err(format!("the {what} {path} contains no certificate: give a PEM file with BEGIN CERTIFICATE in it"));
    }
    if certificates.iter().any(|certificate| webpki::EndEntityCert::try_from(certificate).is_err()) {
        return Err(format!("the {what} {path} contains something else than X.509 v3 certificates: issue it again"));
    }
    Ok(certificates)
}

fn private_key(path: &Path, content: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(content).map_err(|_| {
        format!(
            "the key {} contains no valid private key: give a PEM file with a PKCS#8, SEC1 or PKCS#1 key that is not encrypted",
            path.display()
        )
    })
}

fn client_verifier(
    path: &Path,
    content: &[u8],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let unusable =
        || format!("the client CA {} contains a certificate that cannot be a CA's: give the CA's own", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in certificates("client CA", path, content)? {
        roots.add(certificate).map_err(|_| unusable())?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(|_| unusable())
}

/// Returns when a certificate is valid. webpki has no accessor for these times. Its errors contain
/// them, and it checks the time before it looks for a CA.
fn validity(certificate: &CertificateDer<'_>) -> Validity {
    let usage = webpki::KeyUsage::server_auth();
    let rejection = |time| {
        let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(time));
        certificate.verify_for_usage(&[], &[], &[], time, usage, None, None).err()
    };
    let system = |time: UnixTime| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()));
    Validity {
        not_before: match rejection(0) {
            Some(webpki::Error::CertNotValidYet { not_before, .. }) => system(not_before),
            _ => None,
        },
        not_after: match rejection(u64::MAX) {
            Some(webpki::Error::CertExpired { not_after, .. }) => system(not_after),
            _ => None,
        },
    }
}
