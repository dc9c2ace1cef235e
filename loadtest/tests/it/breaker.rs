//! A websocket proxy that breaks what a server promises: it loses, doubles or swaps deliveries, one now and then.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tokio_tungstenite::tungstenite::{
    Message,
    handshake::server::{Request, Response},
};

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    None,
    Lose,
    Double,
    /// With the next delivery of the same connection.
    Swap,
    /// Another text in the place of it.
    Alter,
}

/// One delivery of so many, over all connections.
const ONE_IN: u64 = 10_000;

pub struct Breaker {
    pub address: SocketAddr,
    broken: Arc<AtomicU64>,
    _runtime: Runtime,
}

impl Breaker {
    pub fn before(server: SocketAddr, fault: Fault) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, broken) = (Arc::new(AtomicU64::new(ONE_IN / 2)), Arc::new(AtomicU64::new(0)));
        let counts = (seen, Arc::clone(&broken));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, server, fault, counts.clone()));
            }
        });
        Self { address, broken, _runtime: runtime }
    }

    /// How often it has done it.
    pub fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }
}

async fn pass(
    stream: TcpStream,
    server: SocketAddr,
    fault: Fault,
    (seen, broken): (Arc<AtomicU64>, Arc<AtomicU64>),
) {
    let path = Arc::new(Mutex::new(String::new()));
    let asked = Arc::clone(&path);
    #[allow(clippy::result_large_err, reason = "the library's signature")]
    let look = move |request: &Request, response: Response| {
        *asked.lock().unwrap() = request.uri().to_string();
        Ok(response)
    };
    stream.set_nodelay(true).unwrap();
    let Ok(client) = tokio_tungstenite::accept_hdr_async(stream, look).await else { return };
    let url = format!("ws://{server}{}", path.lock().unwrap());
    let upstream = TcpStream::connect(server).await.unwrap();
    upstream.set_nodelay(true).unwrap();
    let (upstream, _) = tokio_tungstenite::client_async(url, upstream).await.unwrap();
    let (mut to_client, mut from_client) = client.split();
    let (mut to_server, mut from_server) = upstream.split();
    let upwards = tokio::spawn(async move {
        while let Some(Ok(message)) = from_client.next().await {
            if to_server.send(message).await.is_err() {
                break;
            }
        }
        let _ = to_server.close().await;
    });
    let mut kept: Option<Message> = None;
    while let Some(Ok(message)) = from_server.next().await {
        let is_delivery =
            message.to_text().is_ok_and(|text| text.contains("tp!") && text.contains("\"seq\""));
        let is_due = is_delivery && (seen.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(ONE_IN);
        let mut out = Vec::new();
        if is_due {
            broken.fetch_add(1, Ordering::Relaxed);
        }
        match fault {
            Fault::Lose if is_due => {}
            Fault::Double if is_due => out.extend([message.clone(), message]),
            Fault::Swap if is_due => kept = Some(message),
            Fault::Alter if is_due => {
                let text = message.to_text().unwrap();
                // Another sender's name in the body.
                let (head, tail) = text.split_once("tp!").unwrap();
                let (run, rest) = tail.split_once('.').unwrap();
                out.push(Message::text(format!("{head}tp!{run}.9{rest}")));
            }
            _ => out.push(message),
        }
        if is_delivery && !is_due {
            out.extend(kept.take());
        }
        for message in out {
            if to_client.send(message).await.is_err() {
                upwards.abort();
                return;
            }
        }
    }
    let _ = to_client.close().await;
    upwards.abort();
}
