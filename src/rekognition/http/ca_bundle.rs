//! The CA certificates in the file of `AWS_CA_BUNDLE`, or of `ca_bundle` in a profile.

use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Many times the size of all public CAs.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Returns a TLS context that trusts the CAs of this file instead of the system's. The SDK panics
/// on certificates that it cannot use, so all are validated here.
///
/// # Errors
/// What is wrong with the file, as the end of a sentence.
pub fn trust(path: &Path) -> Result<TlsContext, String> {
    let pem = read(path).map_err(|error| format!("cannot be read ({error}): give the path of a PEM file"))?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|_| "is damaged or cut short: write the PEM file again, as a whole")?;
    if certificates.is_empty() {
        return Err("contains no certificate: give a PEM file with BEGIN CERTIFICATE in it".to_owned());
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|_| "contains a certificate that cannot be a CA's: give the CA's own")?;
    }
    let store = TrustStore::empty().with_pem_certificate(pem);
    TlsContext::builder().with_trust_store(store).build().map_err(|error| format!("cannot be used: {error}"))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES).read_to_end(&mut content)?;
    Ok(content)
}
