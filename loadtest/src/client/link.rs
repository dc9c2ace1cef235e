//! One websocket: opened from its source address, read and written as text. What the text means is not known here.

use std::{future::poll_fn, net::SocketAddr, pin::Pin, sync::Arc, task::Poll, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
    time::{Instant, Sleep},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message, Utf8Bytes, protocol::WebSocketConfig},
};

use crate::{
    places::Place,
    reader::{FRAME_BYTES_MAX, Listener, Reader, Stream},
};

pub(super) struct Link {
    stream: WebSocketStream<Box<dyn Bytes>>,
    /// One for all waits: to move it is cheaper than to make one for each message.
    timer: Pin<Box<Sleep>>,
}

/// TCP, or TLS over it.
trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// Who reads what comes, and who is shown it first. Behind TLS there is nothing to be shown.
pub(super) struct Ears<'a> {
    pub(super) reader: &'a Arc<Reader>,
    pub(super) listener: Option<Arc<dyn Listener>>,
}

/// Why there is no connection, or no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    OutOfFiles,
    OutOfPorts,
    /// A status instead of a websocket, and when to come again.
    Status(u16, Option<u64>),
    Other(String),
}

impl Broken {
    /// The same words for the same cause, so that it can be counted.
    pub(super) fn name(&self) -> String {
        match self {
            Self::OutOfFiles => "no file descriptor left".to_owned(),
            Self::OutOfPorts => "no port left".to_owned(),
            Self::Status(status, _) => format!("status {status}"),
            Self::Other(why) => why.clone(),
        }
    }
}

/// What a load test reads at once; thousands of connections have such a buffer each.
const READ_BYTES: usize = 4 * 1024;
/// A server that does not read for so long has stalled.
const WRITE_MAX: Duration = Duration::from_secs(10);

const EMFILE: i32 = 24;
const ENFILE: i32 = 23;
const EADDRNOTAVAIL: i32 = 99;

impl Link {
    pub(super) async fn open(
        place: &Place<'_>,
        tls: &TlsConnector,
        ears: Ears<'_>,
        path: &str,
    ) -> Result<Self, Broken> {
        let stream = Self::stream(place, tls, ears).await?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        let opened =
            tokio_tungstenite::client_async_with_config(place.websocket(path), stream, Some(config)).await;
        match opened {
            Ok((stream, _)) => Ok(Self { stream, timer: Box::pin(tokio::time::sleep_until(Instant::now())) }),
            Err(error) => Err(cause(&error)),
        }
    }

    /// As far as a server goes that is asked for no websocket.
    pub(super) async fn reach(place: &Place<'_>, tls: &TlsConnector, ears: Ears<'_>) -> Result<(), Broken> {
        Self::stream(place, tls, ears).await.map(drop)
    }

    async fn stream(place: &Place<'_>, tls: &TlsConnector, ears: Ears<'_>) -> Result<Box<dyn Bytes>, Broken> {
        let broken = |error: std::io::Error| match error.raw_os_error() {
            Some(EMFILE | ENFILE) => Broken::OutOfFiles,
            Some(EADDRNOTAVAIL) => Broken::OutOfPorts,
            _ => Broken::Other(error.kind().to_string()),
        };
        let stream = Self::connect(place).await.map_err(broken)?;
        let secured = place.secured();
        let listener = ears.listener.filter(|_| secured.is_none());
        let stream = ears.reader.take_over(stream, listener).map_err(broken)?;
        Ok(match secured {
            None => Box::new(stream),
            Some(name) => Box::new(secure(tls, name, stream).await?),
        })
    }

    async fn connect(place: &Place<'_>) -> std::io::Result<TcpStream> {
        let stream = match (place.address, place.source) {
            (SocketAddr::V4(_), Some(source)) => {
                let socket = TcpSocket::new_v4()?;
                // Ports of connections that ended a moment ago may be used again.
                socket.set_reuseaddr(true)?;
                socket.bind((source, 0).into())?;
                socket.connect(place.address).await?
            }
            _ => TcpStream::connect(place.address).await?,
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    pub(super) async fn send(&mut self, text: String) -> Result<(), Broken> {
        match tokio::time::timeout(WRITE_MAX, self.stream.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(cause(&error)),
            Err(_) => Err(Broken::Other("the server stopped reading".to_owned())),
        }
    }

    /// The next text, or nothing until then.
    pub(super) async fn next(&mut self, until: Instant) -> Result<Option<Utf8Bytes>, Broken> {
        loop {
            let (stream, timer) = (&mut self.stream, &mut self.timer);
            let next = poll_fn(|context| {
                // What is there already needs no timer.
                if let Poll::Ready(next) = stream.poll_next_unpin(context) {
                    return Poll::Ready(Some(next));
                }
                if timer.deadline() != until {
                    timer.as_mut().reset(until);
                }
                timer.as_mut().poll(context).map(|()| None)
            });
            let Some(next) = next.await else { return Ok(None) };
            match next {
                Some(Ok(Message::Text(text))) => return Ok(Some(text)),
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(1005, |frame| u16::from(frame.code));
                    return Err(Broken::Other(format!("closed with {code}")));
                }
                // The library answers pings; nothing else is asked for.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(cause(&error)),
                None => return Err(Broken::Other("closed".to_owned())),
            }
        }
    }

    pub(super) async fn close(mut self) {
        // Whoever does not answer is left.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.stream.close(None)).await;
    }
}

async fn secure(tls: &TlsConnector, name: &str, stream: Stream) -> Result<TlsStream<Stream>, Broken> {
    let name =
        ServerName::try_from(name.to_owned()).map_err(|_| Broken::Other("no name for TLS".to_owned()))?;
    let secured = tls.connect(name, stream).await;
    // The library says within what it found.
    secured.map_err(|error| {
        Broken::Other(format!("TLS: {}", error.to_string().chars().take(80).collect::<String>()))
    })
}

fn cause(error: &Error) -> Broken {
    match error {
        Error::Http(response) => {
            let after = response.headers().get("retry-after").and_then(|after| after.to_str().ok());
            let after = after.and_then(|after| after.parse::<u64>().ok());
            Broken::Status(response.status().as_u16(), after.map(|seconds| seconds.saturating_mul(1_000)))
        }
        Error::Io(error) => Broken::Other(error.kind().to_string()),
        Error::ConnectionClosed | Error::AlreadyClosed => Broken::Other("closed".to_owned()),
        Error::Protocol(fault) => Broken::Other(format!("broken frames: {fault}")),
        _ => Broken::Other("broken websocket".to_owned()),
    }
}
