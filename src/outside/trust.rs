//! Whom we trust: the system's roots, and those of a file besides them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Why nothing outside can be asked.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// The file is missing, unreadable or not PEM.
    #[error("cannot read certificates from {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file holds no certificate.
    #[error("{} holds no certificate (-----BEGIN CERTIFICATE-----)", .0.display())]
    Empty(PathBuf),
    /// Nobody could be trusted.
    #[error("the system has no root certificates: install its CA bundle")]
    NoRoots,
    /// The cryptography does not fit together.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The HTTP client.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// The certificates to trust, read once for any number of clients. A copy shares them.
#[derive(Debug, Clone)]
pub struct Trust(pub(super) ClientConfig);

impl Trust {
    /// The system's roots and those in `ca`, a PEM file. Reads files, so not for the middle of async work.
    pub fn load(ca: Option<&Path>) -> Result<Self, OutsideError> {
        config(ca).map(Self)
    }
}

fn config(ca: Option<&Path>) -> Result<ClientConfig, OutsideError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca {
        add_file(&mut roots, path)?;
    }
    if roots.is_empty() {
        return Err(OutsideError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), OutsideError> {
    let unreadable = |reason: &dyn ToString| OutsideError::Unreadable {
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(&error))?;
    if certificates.is_empty() {
        return Err(OutsideError::Empty(path.to_owned()));
    }
    for certificate in certificates {
        roots.add(certificate).map_err(|error| unreadable(&error))?;
    }
    Ok(())
}
