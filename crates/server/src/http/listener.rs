//! The port of the HTTP API, in TLS where a certificate is configured.

use std::io::Result;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::socket::Socket;

/// Handshakes under way; more peers wait in the system's queue.
const HANDSHAKES: usize = 256;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

pub struct Port {
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    /// A peer that is slow with its handshake keeps no other one waiting.
    handshakes: JoinSet<Result<(Socket, SocketAddr)>>,
}

impl Port {
    pub fn new(listener: TcpListener, acceptor: Option<TlsAcceptor>) -> Self {
        Self { listener, acceptor, handshakes: JoinSet::new() }
    }
}

impl Listener for Port {
    type Io = Socket;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Socket, SocketAddr) {
        loop {
            let (tcp, peer) = tokio::select! {
                Some(done) = self.handshakes.join_next(), if !self.handshakes.is_empty() => match done {
                    Ok(Ok(connection)) => return connection,
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "a TLS handshake failed");
                        continue;
                    }
                    Err(error) => {
                        tracing::error!(%error, "a TLS handshake ended by a panic");
                        continue;
                    }
                },
                accepted = self.listener.accept(), if self.handshakes.len() < HANDSHAKES => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of file handles: wait for connections to end instead of spinning.
                        tracing::warn!(%error, "cannot accept an HTTP connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let Some(acceptor) = self.acceptor.clone() else { return (Socket::Plain(tcp), peer) };
            self.handshakes.spawn(async move { Ok((Socket::secured(tcp, &acceptor).await?, peer)) });
        }
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Port>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Port>) -> Self {
        Self(*stream.remote_addr())
    }
}
