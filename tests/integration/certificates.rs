//! Certificates for tests, and the mounted secret that contains them.

use face_liveness_facade::server::tls::Files;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};
use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// A CA. All have the same name, so only their keys differ.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key, both as PEM.
pub struct Issued {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("there is entropy");
        let pem = params.self_signed(&key).expect("valid parameters").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Issues a server certificate for `localhost`.
    pub fn server(&self) -> Issued {
        self.issue(server())
    }

    /// Issues a client certificate without names.
    pub fn client(&self) -> Issued {
        self.issue(client())
    }

    pub fn issue(&self, params: CertificateParams) -> Issued {
        let key = KeyPair::generate().expect("there is entropy");
        let cert = params.signed_by(&key, &self.issuer).expect("valid parameters");
        Issued { cert: cert.pem(), key: key.serialize_pem() }
    }
}

pub fn server() -> CertificateParams {
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("it is a DNS name");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

pub fn client() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

pub fn expired(mut params: CertificateParams) -> CertificateParams {
    (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    params
}

pub fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().expect("it is ASCII"))
}

pub fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("it is ASCII"))
}

/// A mounted secret as the kubelet creates it: every file is a link through `..data`, which is
/// replaced atomically. Its folder is removed when this is dropped.
pub struct Secret {
    folder: PathBuf,
    version: u32,
}

impl Secret {
    pub fn new(issued: &Issued, client_ca: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("face-liveness-secret-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("the temporary folder is writable");
        let mut secret = Self { folder, version: 0 };
        secret.replace(&issued.cert, &issued.key, client_ca);
        for name in ["tls.crt", "tls.key", "ca.crt"] {
            symlink(format!("..data/{name}"), secret.folder.join(name)).expect("the folder is new");
        }
        secret
    }

    /// Replaces all files at once.
    pub fn replace(&mut self, cert: &str, key: &str, client_ca: &str) {
        let old = self.folder.join(format!("..{}", self.version));
        self.version += 1;
        let new = self.folder.join(format!("..{}", self.version));
        fs::create_dir(&new).expect("the version is new");
        for (name, content) in [("tls.crt", cert), ("tls.key", key), ("ca.crt", client_ca)] {
            fs::write(new.join(name), content).expect("the folder is writable");
        }
        let link = self.folder.join("..data_tmp");
        symlink(&new, &link).expect("the previous call renamed it");
        fs::rename(&link, self.folder.join("..data")).expect("both are in one folder");
        fs::remove_dir_all(old).ok();
    }

    /// Returns the files without a client CA.
    pub fn files(&self) -> Files {
        Files { cert: self.folder.join("tls.crt"), key: self.folder.join("tls.key"), client_ca: None }
    }

    /// Returns the files with the client CA, for mutual TLS.
    pub fn mutual(&self) -> Files {
        Files { client_ca: Some(self.folder.join("ca.crt")), ..self.files() }
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}
