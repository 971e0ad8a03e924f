//! One connection from its first byte to its last: TLS where the client asks for it, then message by message.
//!
//! Not pgwire's own negotiation: that keeps what a client sent before the handshake and reads it as if it had come inside,
//! so that whoever stands between could put words into a client's mouth (as CVE-2021-23214 of PostgreSQL). Here nothing is
//! read ahead: a byte before the handshake is taken for a part of it, and breaks it.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures::StreamExt;
use pgwire::api::query::ExtendedQueryHandler;
use pgwire::api::{ClientInfo, DefaultClient, NoopHandler, PgWireConnectionState};
use pgwire::messages::PgWireFrontendMessage;
use pgwire::tokio::server::{PgWireMessageServerCodec, process_error, process_message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::codec::{Framed, FramedParts};

use super::connection::Connection;
use super::extended::Extended;
use crate::socket::Socket;

/// What a client has until it is signed in.
const SIGN_IN: Duration = Duration::from_secs(60);
/// What stands where a startup message has its protocol version.
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;
/// The protocol's name in the handshake of a client that begins with TLS at once (PostgreSQL 17).
pub const ALPN: &[u8] = b"postgresql";

type Messages = Framed<Socket, PgWireMessageServerCodec<<Extended as ExtendedQueryHandler>::Statement>>;

/// Talks with a client until it leaves, or until it has not signed in for too long.
pub async fn converse(tcp: TcpStream, tls: Option<TlsAcceptor>, connection: Arc<Connection>) -> Result<()> {
    let until = Instant::now() + SIGN_IN;
    let late = |_| Error::from(ErrorKind::TimedOut);
    let Some(mut messages) = tokio::time::timeout_at(until, negotiated(tcp, tls)).await.map_err(late)?? else {
        return Ok(());
    };
    let extended = Arc::new(Extended(Arc::clone(&connection)));
    loop {
        let signing_in = matches!(
            messages.state(),
            PgWireConnectionState::AwaitingStartup | PgWireConnectionState::AuthenticationInProgress
        );
        let next = match signing_in {
            true => tokio::time::timeout_at(until, messages.next()).await.map_err(late)?,
            false => messages.next().await,
        };
        // Garbage ends a connection as its end does.
        let Some(Ok(message)) = next else { return Ok(()) };
        if matches!(message, PgWireFrontendMessage::Terminate(_)) {
            return Ok(());
        }
        let in_extended = message.is_extended_query();
        let done = process_message(
            message,
            &mut messages,
            Arc::clone(&connection),
            Arc::clone(&connection),
            Arc::clone(&extended),
            Arc::new(NoopHandler),
            Arc::clone(&connection.registry),
        );
        if let Err(error) = done.await {
            process_error(&mut messages, error, in_extended).await?;
        }
    }
}

/// Answers what a client asks of the connection before its startup message. `None`: it left.
async fn negotiated(mut tcp: TcpStream, tls: Option<TlsAcceptor>) -> Result<Option<Messages>> {
    tcp.set_nodelay(true)?;
    let mut first = [0];
    if tcp.peek(&mut first).await? == 0 {
        return Ok(None);
    }
    if first[0] == HANDSHAKE
        && let Some(acceptor) = &tls
    {
        let socket = Socket::secured(tcp, acceptor).await?;
        // Else another protocol's client could be made to talk with us (as with the ALPACA attack).
        if socket.protocol() != Some(ALPN) {
            return Err(Error::new(ErrorKind::InvalidData, "TLS without a request for it, and without its protocol"));
        }
        return messages(socket, &[]).map(Some);
    }
    // A client may ask for each kind of encryption once, and then begin.
    for _ in 0..3 {
        let mut head = [0; 8];
        match tcp.read_exact(&mut head).await {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        };
        let [a, b, c, d, asked @ ..] = head;
        match (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes(asked), &tls) {
            (8, SSL_REQUEST, Some(acceptor)) => {
                tcp.write_all(b"S").await?;
                return messages(Socket::secured(tcp, acceptor).await?, &[]).map(Some);
            }
            (8, SSL_REQUEST, None) | (8, GSS_REQUEST, _) => tcp.write_all(b"N").await?,
            _ => return messages(Socket::Plain(tcp), &head).map(Some),
        }
    }
    Err(Error::new(ErrorKind::InvalidData, "one request for encryption after the other"))
}

/// The messages of a connection whose startup message comes next; `read` are the first bytes of it.
fn messages(socket: Socket, read: &[u8]) -> Result<Messages> {
    let tcp = match &socket {
        Socket::Plain(tcp) => tcp,
        Socket::Tls(stream) => stream.get_ref().0,
    };
    let client = DefaultClient::new(tcp.peer_addr()?, socket.is_secure());
    let mut parts = FramedParts::new(socket, PgWireMessageServerCodec::new(client));
    parts.read_buf = BytesMut::from(read);
    let mut messages = Framed::from_parts(parts);
    messages.set_state(PgWireConnectionState::AwaitingStartup);
    Ok(messages)
}
