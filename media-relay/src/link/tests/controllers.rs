//! Controllers of congestion beside each other, for whoever doubts the one that links have:
//! `cargo test -p turnpike-media-relay --lib controllers -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::congestion::{BbrConfig, ControllerFactory, CubicConfig};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig};

use super::house::SECRET;
use super::proxy::Proxy;
use crate::link::congestion::SteadyFactory;
use crate::link::transport;
use crate::link::trust::{Trust, name_of};

const BYTES: usize = 1_100;
const FOR: Duration = Duration::from_secs(4);
const PER_MILLISECOND: u32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn controllers_beside_each_other() {
    for (lost_permille, megabits) in [(0, None), (20, None), (50, None), (0, Some(10)), (20, Some(30))] {
        for name in ["steady", "bbr", "cubic"] {
            let factory = || -> Arc<dyn ControllerFactory + Send + Sync> {
                match name {
                    "steady" => Arc::new(SteadyFactory),
                    "bbr" => Arc::new(BbrConfig::default()),
                    _ => Arc::new(CubicConfig::default()),
                }
            };
            let (sender, receiver, _proxy) = pair(factory, lost_permille, megabits).await;
            let count = tokio::spawn(async move {
                let mut late = Vec::new();
                while let Ok(datagram) = receiver.read_datagram().await {
                    let micros = u64::from_be_bytes(datagram[..8].try_into().unwrap());
                    if micros == u64::MAX {
                        break;
                    }
                    late.push(Duration::from_micros(since_start().saturating_sub(micros)));
                }
                late.sort_unstable();
                (late.len() as u32, late[late.len() / 2], late[late.len() * 99 / 100])
            });
            let (since, mut sent) = (Instant::now(), 0);
            while since.elapsed() < FOR {
                while sent < since.elapsed().as_millis() as u32 * PER_MILLISECOND {
                    let mut datagram = vec![0; BYTES];
                    datagram[..8].copy_from_slice(&since_start().to_be_bytes());
                    sender.send_datagram(Bytes::from(datagram)).unwrap();
                    sent += 1;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            for _ in 0..40 {
                tokio::time::sleep(Duration::from_millis(50)).await;
                // It has heard one already.
                let _ = sender.send_datagram(Bytes::from(u64::MAX.to_be_bytes().to_vec()));
            }
            let (come, half, most) = count.await.unwrap();
            let percent = f64::from(come) * 100.0 / f64::from(sent);
            println!(
                "{name}, {lost_permille} of a thousand lost, {megabits:?} Mbit/s: {percent:.1} % came, \
                 after {half:?} (p50) and {most:?} (p99)"
            );
        }
    }
}

fn since_start() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_micros() as u64
}

async fn pair(
    factory: impl Fn() -> Arc<dyn ControllerFactory + Send + Sync>,
    lost_permille: u64,
    megabits: Option<u64>,
) -> (Connection, Connection, Proxy) {
    let trust = Trust::new(&SECRET, 1).unwrap();
    let mut own = transport::transport();
    own.congestion_controller_factory(factory());
    let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(trust.server).unwrap()));
    server.transport_config(Arc::new(transport::transport()));
    let upper = Endpoint::server(server, "127.0.0.1:0".parse().unwrap()).unwrap();
    let to = upper.local_addr().unwrap();
    let proxy =
        Proxy::narrow(to, 3, lost_permille, Duration::from_millis(20), megabits.map(|m| m * 125_000)).await;
    let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(trust.client).unwrap()));
    client.transport_config(Arc::new(own));
    let lower = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let accepted = tokio::spawn(async move { upper.accept().await.unwrap().await.unwrap() });
    let sender = lower.connect_with(client, proxy.address, &name_of(1)).unwrap().await.unwrap();
    let receiver = accepted.await.unwrap();
    (sender, receiver, proxy)
}
