//! Certificates for tests, made when they are needed.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use tempfile::TempDir;

/// Files of a certificate and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Who signs certificates. Its files, and those of all that it signs, end with it.
#[derive(Debug)]
pub struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// One that nobody knows yet.
    ///
    /// # Panics
    /// If its certificate cannot be made or written.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let mut params = CertificateParams::new(Vec::new()).expect("it has no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let key = KeyPair::generate().expect("a key can be made");
        let cert = params.self_signed(&key).expect("an authority signs itself");
        write(&dir.path().join("ca.pem"), &cert.pem());
        Self { dir, issuer: Issuer::new(params, key) }
    }

    /// The file of its certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Signs a certificate for a server of these names and addresses.
    ///
    /// # Panics
    /// If it cannot be made or written.
    #[must_use]
    pub fn server(&self, names: &[&str]) -> Pair {
        // etcd calls itself, too.
        let uses = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign("server", names, &uses)
    }

    /// Signs a certificate for a client.
    ///
    /// # Panics
    /// If it cannot be made or written.
    #[must_use]
    pub fn client(&self) -> Pair {
        self.sign("client", &["client"], &[ExtendedKeyUsagePurpose::ClientAuth])
    }

    fn sign(&self, file: &str, names: &[&str], uses: &[ExtendedKeyUsagePurpose]) -> Pair {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("these are names");
        params.distinguished_name.push(DnType::CommonName, file);
        params.extended_key_usages.extend_from_slice(uses);
        let key = KeyPair::generate().expect("a key can be made");
        let cert = params.signed_by(&key, &self.issuer).expect("an authority signs");
        let path = |kind: &str| self.dir.path().join(format!("{file}-{kind}.pem"));
        let pair = Pair { cert: path("cert"), key: path("key") };
        write(&pair.cert, &cert.pem());
        write(&pair.key, &key.serialize_pem());
        pair
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a temporary file can be written");
}
