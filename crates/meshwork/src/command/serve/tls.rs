//! The certificate of the server's ports: PEM files, read again when they change, so that a renewal needs no restart.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use clap::Args;
use meshwork_core::error::{Error, Result};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// Where the files are.
#[derive(Debug, Args)]
pub struct Files {
    /// Certificate of the ports, PEM, with those that lead to its authority [MESHWORK_TLS_CERT]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM [MESHWORK_TLS_KEY]
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl Files {
    /// What the options name, else what the environment does; `None`: no TLS.
    pub fn open(self, otherwise: Option<(PathBuf, PathBuf)>) -> Result<Option<Tls>> {
        let named = self.tls_cert.zip(self.tls_key).or(otherwise);
        named.map(|(certificate, key)| Tls::open(certificate, key)).transpose()
    }
}

pub struct Tls(Arc<Renewed>);

impl Tls {
    fn open(certificate: PathBuf, key: PathBuf) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let seen = [state_of(&certificate), state_of(&key)];
        let current = Mutex::new((seen, Arc::new(read(&certificate, &key, &provider)?)));
        Ok(Self(Arc::new(Renewed { certificate, key, provider, current })))
    }

    /// Handshakes of clients that speak this protocol, or do not say which.
    pub fn acceptor(&self, protocol: &[u8]) -> Result<TlsAcceptor> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.0.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::internal("MW0984", error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.0) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// What tells that a file is another one: when it was written, and its length.
type FileState = Option<(SystemTime, u64)>;

fn state_of(path: &Path) -> FileState {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

#[derive(Debug)]
struct Renewed {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: Mutex<([FileState; 2], Arc<CertifiedKey>)>,
}

impl ResolvesServerCert for Renewed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let now = [state_of(&self.certificate), state_of(&self.key)];
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 != now {
            match read(&self.certificate, &self.key, &self.provider) {
                Ok(renewed) => *current = (now, Arc::new(renewed)),
                // Half of a renewal may be written yet: with the other half the files change once more.
                Err(error) => {
                    tracing::warn!(%error, "the certificate has changed and cannot be used; the one before stays");
                    current.0 = now;
                }
            }
        }
        Some(Arc::clone(&current.1))
    }
}

fn read(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey> {
    let unusable = |path: &Path, why: &dyn std::fmt::Display| {
        Error::environment("MW0984", format!("{}: {why}", path.display()))
            .hint("`--tls-cert` and `--tls-key` take PEM files that belong together")
    };
    let mode = std::fs::metadata(key).map_err(|error| unusable(key, &error))?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(unusable(key, &"everybody on this machine may use it").hint("chmod o= on the file of the key"));
    }
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| unusable(certificate, &error))?;
    if chain.is_empty() {
        return Err(unusable(certificate, &"it holds no certificate"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    CertifiedKey::from_der(chain, secret, provider).map_err(|error| unusable(certificate, &error))
}
