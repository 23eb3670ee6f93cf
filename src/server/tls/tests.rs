use super::*;
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use std::{fs, path::PathBuf};

/// The folder with a test's files. Dropping it removes them.
pub struct Folder(PathBuf);

impl Folder {
    /// Creates valid files. The server's certificate is the client CA.
    pub fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("face-liveness-tls-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let folder = Self(path);
        let (cert, key) = issue(params());
        folder.write("tls.crt", &cert).write("tls.key", &key).write("ca.crt", &cert);
        folder
    }

    pub fn write(&self, name: &str, content: &str) -> &Self {
        fs::write(self.path(name), content).unwrap();
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn files(&self) -> Files {
        Files { cert: self.path("tls.crt"), key: self.path("tls.key"), client_ca: Some(self.path("ca.crt")) }
    }

    pub fn load(&self) -> Result<Tls, String> {
        Tls::load(self.files())
    }

    /// Returns the error of files that cannot be used, with `<folder>` in place of the path.
    fn sentence(&self) -> String {
        let sentence = self.load().err().expect("the files cannot be used");
        sentence.replace(self.0.to_str().unwrap(), "<folder>")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

pub fn params() -> CertificateParams {
    CertificateParams::new(["localhost".to_owned()]).unwrap()
}

/// Issues a self-signed certificate. Returns it and its key as PEM.
pub fn issue(params: CertificateParams) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn valid_files_serve_http2_alone_and_have_an_expiry() {
    let folder = Folder::new("valid");
    let mut params = params();
    params.not_after = rcgen::date_time_ymd(2051, 3, 4);
    let (cert, key) = issue(params);
    let tls = folder.write("tls.crt", &cert).write("tls.key", &key).load().unwrap();
    assert_eq!(tls.config().alpn_protocols, [b"h2"]);
    let expiry = tls.not_after().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(expiry.as_secs(), 2_561_500_800, "2051-03-04");
}

#[test]
fn a_certificate_that_clients_reject_by_its_dates_is_described() {
    let folder = Folder::new("time");
    for (from, until, expired, not_yet_valid) in
        [(2001, 2002, true, false), (2100, 2101, false, true), (1960, 2100, false, false)]
    {
        let mut params = params();
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(from, 1, 2), rcgen::date_time_ymd(until, 3, 4));
        let (cert, key) = issue(params);
        let tls = folder.write("tls.crt", &cert).write("tls.key", &key).load().unwrap();
        let [has_expired, is_early] = [tls.expired(), tls.not_yet_valid()].map(|sentence| sentence.unwrap_or_default());
        assert_eq!(has_expired.contains("since 2002-03-04T00:00:00Z"), expired, "{has_expired}");
        assert_eq!(is_early.contains("until 2100-01-02T00:00:00Z"), not_yet_valid, "{is_early}");
    }
}

#[test]
fn keys_of_every_usual_kind_are_read() {
    let folder = Folder::new("keys");
    for algorithm in
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519, &rcgen::PKCS_RSA_SHA256]
    {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let cert = params().self_signed(&key).unwrap().pem();
        folder.write("tls.crt", &cert).write("tls.key", &key.serialize_pem()).load().unwrap();
    }
}

#[test]
fn a_missing_file_is_named_with_its_path() {
    for (name, what) in [("tls.crt", "certificate"), ("tls.key", "key"), ("ca.crt", "client CA")] {
        let folder = Folder::new("missing");
        fs::remove_file(folder.path(name)).unwrap();
        let sentence = format!(
            "cannot read the {what} <folder>/{name} (No such file or directory (os error 2)): give the path of a PEM file that \
             this process may read"
        );
        assert_eq!(folder.sentence(), sentence);
    }
}

#[test]
fn a_folder_and_a_file_that_is_too_large_are_rejected() {
    let folder = Folder::new("large");
    folder.write("tls.crt", &" ".repeat(4 * 1024 * 1024 + 1));
    let sentence = "the certificate <folder>/tls.crt is larger than 4194304 bytes: give the path of a PEM file";
    assert_eq!(folder.sentence(), sentence);
    let files = Files { cert: folder.0.clone(), ..folder.files() };
    assert!(Tls::load(files).err().unwrap().starts_with("cannot read the certificate "));
}

#[test]
fn invalid_content_is_described_with_the_path_of_its_file() {
    let (cert, key) = issue(params());
    let cut_short = &cert[..cert.len() / 2];
    let not_x509 = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    let no_curve = "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n";
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let no_key = "the key <folder>/tls.key contains no valid private key: give a PEM file with a PKCS#8, SEC1 or PKCS#1 key that is not \
                  encrypted";
    let cases = [
        (
            "tls.crt",
            key.as_str(),
            "the certificate <folder>/tls.crt contains no certificate: give a PEM file with BEGIN CERTIFICATE in it",
        ),
        (
            "tls.crt",
            cut_short,
            "the certificate <folder>/tls.crt is damaged or cut short: write the PEM file again, as a whole",
        ),
        (
            "tls.crt",
            not_x509,
            "the certificate <folder>/tls.crt contains something else than X.509 v3 certificates: issue it again",
        ),
        (
            "tls.crt",
            &cert,
            "the key <folder>/tls.key does not belong to the first certificate in <folder>/tls.crt: give both of the same issue, the \
             server's own certificate before those of its CAs",
        ),
        ("tls.key", "", no_key),
        ("tls.key", &cert, no_key),
        ("tls.key", &encrypted, no_key),
        ("tls.key", &key[..key.len() / 2], no_key),
        (
            "tls.key",
            no_curve,
            "the key <folder>/tls.key is of a kind that cannot be used: create an ECDSA key (P-256, P-384, P-521), an Ed25519 key, or an \
             RSA key of 2048 bits or more",
        ),
        (
            "ca.crt",
            "hello",
            "the client CA <folder>/ca.crt contains no certificate: give a PEM file with BEGIN CERTIFICATE in it",
        ),
        (
            "ca.crt",
            cut_short,
            "the client CA <folder>/ca.crt is damaged or cut short: write the PEM file again, as a whole",
        ),
    ];
    for (name, content, sentence) in cases {
        let folder = Folder::new("content");
        assert_eq!(folder.write(name, content).sentence(), sentence);
    }
}

#[test]
fn no_error_contains_a_part_of_the_key() {
    let (_, key) = issue(params());
    let body: Vec<_> = key.lines().filter(|line| !line.starts_with("-----")).collect();
    let first = body[0];
    let invalid = [
        // The libraries quote a part of each of these.
        format!("-----BEGIN {first}\n"),
        format!("-----BEGIN PRIVATE KEY-----\n{first}!\n-----END PRIVATE KEY-----\n"),
        format!("-----BEGIN PRIVATE KEY-----\n{first}\n-----END PRIVATE KEY-----\n"),
        format!("-----BEGIN {first}-----\n"),
    ];
    for content in invalid {
        for name in ["tls.crt", "tls.key", "ca.crt"] {
            let folder = Folder::new("secret");
            let sentence = folder.write(name, &content).sentence();
            assert!(!sentence.contains(&first[..8]) && sentence.lines().count() == 1, "{sentence}");
        }
    }
}

fn names_of(alternatives: Vec<SanType>) -> Vec<String> {
    let mut params = params();
    params.subject_alt_names = alternatives;
    let (cert, _) = issue(params);
    names(&CertificateDer::from_pem_slice(cert.as_bytes()).unwrap())
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

#[test]
fn uris_come_before_dns_names() {
    let names = names_of(vec![
        dns("checkout.shop.svc"),
        uri("spiffe://shop/ns/shop/sa/checkout"),
        SanType::Rfc822Name("a@b.c".try_into().unwrap()),
    ]);
    assert_eq!(names, ["spiffe://shop/ns/shop/sa/checkout", "checkout.shop.svc"]);
}

#[test]
fn too_many_too_long_and_unprintable_names_are_ignored() {
    let long = format!("spiffe://shop/{}", "a".repeat(MAX_NAME_BYTES));
    let names = names_of(vec![uri(&long), uri("spiffe://shop/a\nb"), uri("spiffe://shop/a b"), dns("short.shop")]);
    assert_eq!(names, ["short.shop"]);
    let names = names_of((0..100).map(|number| dns(&format!("n{number}.shop"))).collect());
    assert_eq!(names.len(), MAX_NAMES);
}

#[test]
fn a_certificate_without_names_has_none_and_neither_have_other_bytes() {
    assert_eq!(names_of(Vec::new()), Vec::<String>::new());
    assert_eq!(names(&CertificateDer::from(b"hello".to_vec())), Vec::<String>::new());
}
