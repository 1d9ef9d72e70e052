//! A certificate authority and a server certificate, made by the `openssl` command.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// A folder with `ca.pem`, `server.pem` and `server.key`, gone when dropped.
pub struct Certs {
    dir: tempfile::TempDir,
}

impl Certs {
    /// A fresh authority, and a certificate of it for `localhost` and `127.0.0.1`.
    pub fn make() -> Self {
        Self::make_for("DNS:localhost,IP:127.0.0.1")
    }

    /// The same for other names (`subjectAltName`).
    pub fn make_for(names: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let certs = Self { dir };
        std::fs::write(certs.path("names.ext"), format!("subjectAltName={names}\n")).expect("a file");
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        certs.openssl(&format!(
            "req -x509 {key} -days 2 -subj /CN=herald-test-ca -keyout ca.key -out ca.pem"
        ));
        certs.openssl(&format!(
            "req {key} -subj /CN=localhost -keyout server.key -out server.csr"
        ));
        certs.openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -extfile names.ext -out server.pem",
        );
        certs
    }

    /// What clients should trust.
    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// The server's side of TLS.
    pub fn acceptor(&self) -> TlsAcceptor {
        let chain = CertificateDer::pem_file_iter(self.path("server.pem"))
            .and_then(Iterator::collect)
            .expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(self.path("server.key")).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a key that fits the certificate");
        TlsAcceptor::from(Arc::new(config))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        run(self.dir.path(), arguments);
    }
}

fn run(dir: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .current_dir(dir)
        .args(arguments.split_whitespace())
        .output()
        .expect("the openssl command (package openssl)");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {errors}");
}
