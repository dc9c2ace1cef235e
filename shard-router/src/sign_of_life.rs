//! Whether a node answers: its own `/live`, over a connection of its own, so that a process that stands still is found out
//! although its kernel takes connections.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// For the connection and the answer together.
const TIMEOUT: Duration = Duration::from_millis(300);
const QUESTION: &[u8] = b"GET /live HTTP/1.1\r\nhost: turnpike\r\nconnection: close\r\n\r\n";
const GOOD: &[u8] = b"HTTP/1.1 200";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It said so after this time.
    Lives(Duration),
    /// It may be that it has too much to do.
    Silent,
    /// There is nobody, or somebody else.
    None,
}

impl Sign {
    /// How long it took, as far as that says how much the node has to do.
    pub(crate) fn took(self) -> Option<Duration> {
        match self {
            Self::Lives(time) => Some(time),
            Self::Silent => Some(TIMEOUT),
            Self::None => None,
        }
    }
}

pub(crate) async fn of(node: SocketAddr) -> Sign {
    let begun = Instant::now();
    let ask = async {
        let mut stream = TcpStream::connect(node).await?;
        stream.write_all(QUESTION).await?;
        let mut answer = [0; GOOD.len()];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer == *GOOD)
    };
    match tokio::time::timeout(TIMEOUT, ask).await {
        Ok(Ok(true)) => Sign::Lives(begun.elapsed()),
        Ok(_) => Sign::None,
        Err(_) => Sign::Silent,
    }
}
