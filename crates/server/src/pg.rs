//! The Postgres wire: simple and extended protocol, one session per connection.
//!
//! Architecture invariant: a connection has one way to data, [`QueryService`], and it has no session before the one
//! credential check ([`CredentialService`]) has passed; every handler asks for the session first.

mod cancel;
mod connection;
mod conversation;
mod cursor;
mod error;
mod extended;
mod rows;
mod setting;
mod simple;
mod startup;
mod statement;
mod value;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use meshwork_control::credential::CredentialService;
use meshwork_control::query::QueryService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use cancel::Registry;
use connection::Connection;
pub use conversation::ALPN;

/// What a connection needs.
#[derive(Clone)]
pub struct Services {
    pub credentials: Arc<CredentialService>,
    pub query: QueryService,
}

/// Connections at one time; one more is told so (SQLSTATE 53300).
const MAX_CONNECTIONS: usize = 200;
/// How long running statements get to end when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until `shutdown` resolves. Passwords travel as they are (D14): without `tls` the listener is loopback, and with it
/// only peers on this machine may do without.
pub async fn serve(
    listener: TcpListener,
    services: Services,
    tls: Option<TlsAcceptor>,
    shutdown: impl Future<Output = ()>,
) {
    let registry = Arc::new(Registry::default());
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(panicked) = ended {
                    tracing::error!(error = %panicked, "a Postgres connection ended by a panic");
                }
                continue;
            }
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file handles: wait for connections to end instead of spinning.
                tracing::warn!(%error, "cannot accept a Postgres connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let place = Arc::clone(&places).try_acquire_owned().ok();
        let connection = Connection::new(services.clone(), Arc::clone(&registry), peer, place.is_some());
        let tls = tls.clone();
        connections.spawn(async move {
            let _place = place;
            if let Err(error) = conversation::converse(socket, tls, Arc::new(connection)).await {
                tracing::debug!(%peer, %error, "Postgres connection ended");
            }
        });
    }
    drop(listener);
    registry.cancel_all();
    let drained = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GRACE, drained).await;
}
