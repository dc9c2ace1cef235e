//! A node that is none: it says that it lives, and does with requests what it is told to. What reached it is written down.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// What it does with a request that is not about whether it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Says who it is, and reads on.
    Answer,
    /// The same, [`LATE`] later: it has too much to do.
    Slow,
    /// Stands still: nothing is answered, not even whether it lives.
    Frozen,
    /// Says that it lives, and nothing else.
    Silent,
    /// Hangs up on requests.
    HangUp,
    /// Agrees to a websocket, says something at once, and echoes.
    Echo,
    /// The same, and writes as much as is taken.
    Flood,
    /// The same, and reads nothing.
    Deaf,
    /// Agrees although nobody asked.
    Agree,
    /// Does not agree to a websocket.
    Refuse,
    /// An answer without end, by chunks.
    Endless,
    /// An answer with a head without end.
    HeadBomb,
}

/// Of the ends of a test in the kernel.
pub(crate) const BUFFER_BYTES: u32 = 32 * 1024;
/// Longer than one waits for an answer before another node is asked.
pub(crate) const LATE: Duration = Duration::from_millis(1_500);
pub(crate) const EARLY: &[u8] = b"early words";
pub(crate) const AGREED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n";

/// What came over a connection.
type Record = Arc<Mutex<Vec<u8>>>;

#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    mode: Arc<Mutex<Mode>>,
    seen: Arc<Mutex<Vec<Record>>>,
}

impl Node {
    pub(crate) fn start(name: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Else most of what it writes waits with itself.
        socket.set_send_buffer_size(BUFFER_BYTES).unwrap();
        socket.set_recv_buffer_size(BUFFER_BYTES).unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(1_024).unwrap();
        let node = Self {
            name: name.to_owned(),
            address: listener.local_addr().unwrap(),
            mode: Arc::new(Mutex::new(Mode::Answer)),
            seen: Arc::default(),
        };
        let of_listener = node.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(of_listener.clone().serve(stream));
            }
        });
        node
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap()
    }

    /// All that came over connections on which somebody asked for something, by connection.
    pub(crate) fn seen(&self) -> Vec<String> {
        let text = |bytes: &Record| String::from_utf8_lossy(&bytes.lock().unwrap()).into_owned();
        self.seen.lock().unwrap().iter().map(text).collect()
    }

    /// Bytes of them.
    pub(crate) fn seen_bytes(&self) -> usize {
        self.seen.lock().unwrap().iter().map(|bytes| bytes.lock().unwrap().len()).sum()
    }

    async fn serve(self, mut stream: TcpStream) {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let mut is_written_down = false;
        let mut chunk = [0; 4_096];
        loop {
            while self.mode() == Mode::Frozen {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let Ok(read @ 1..) = stream.read(&mut chunk).await else { return };
            bytes.lock().unwrap().extend_from_slice(&chunk[..read]);
            let head = String::from_utf8_lossy(&bytes.lock().unwrap()).into_owned();
            if !head.contains("\r\n\r\n") {
                continue;
            }
            if head.starts_with("GET /live ") {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                return;
            }
            if !is_written_down {
                is_written_down = true;
                self.seen.lock().unwrap().push(Arc::clone(&bytes));
                if self.begin(&mut stream).await.is_none() {
                    return;
                }
            } else if self.mode() == Mode::Echo && stream.write_all(&chunk[..read]).await.is_err() {
                return;
            }
        }
    }

    /// None: that was all.
    async fn begin(&self, stream: &mut TcpStream) -> Option<()> {
        let mode = self.mode();
        match mode {
            Mode::Answer | Mode::Slow => {
                if mode == Mode::Slow {
                    tokio::time::sleep(LATE).await;
                }
                let body = &self.name;
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.ok()
            }
            Mode::Frozen | Mode::Silent => Some(()),
            Mode::HangUp => None,
            Mode::Echo | Mode::Agree | Mode::Flood | Mode::Deaf => {
                stream.write_all(&[AGREED, EARLY].concat()).await.ok()?;
                if mode == Mode::Flood {
                    self.flood(stream, &[0; 16 * 1_024]).await;
                }
                if mode == Mode::Deaf {
                    std::future::pending::<()>().await;
                }
                Some(())
            }
            Mode::Refuse => {
                let answer = b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";
                stream.write_all(answer).await.ok()
            }
            Mode::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.ok()?;
                self.flood(stream, &[b"1000\r\n".as_slice(), &[b'x'; 4_096], b"\r\n"].concat()).await;
                None
            }
            Mode::HeadBomb => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n").await.ok()?;
                self.flood(stream, format!("x-bomb: {}\r\n", "x".repeat(1_000)).as_bytes()).await;
                None
            }
        }
    }

    /// What it could write is written down as if it had come.
    async fn flood(&self, stream: &mut TcpStream, piece: &[u8]) {
        let taken = Arc::new(Mutex::new(Vec::new()));
        self.seen.lock().unwrap().push(Arc::clone(&taken));
        while let Ok(written) = stream.write(piece).await {
            taken.lock().unwrap().extend_from_slice(&piece[..written]);
        }
    }
}
