//! Whether a node answers: its own `/live`, over a connection of its own, so that a process that stands still is found out
//! although its kernel takes connections.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// For the connection and the answer together.
const TIMEOUT: Duration = Duration::from_millis(300);
const QUESTION: &[u8] = b"GET /live HTTP/1.1\r\nhost: turnpike\r\nconnection: close\r\n\r\n";
const GOOD: &[u8] = b"HTTP/1.1 200";

pub(crate) async fn of(node: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(node).await?;
        stream.write_all(QUESTION).await?;
        let mut answer = [0; GOOD.len()];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer == *GOOD)
    };
    matches!(tokio::time::timeout(TIMEOUT, ask).await, Ok(Ok(true)))
}
