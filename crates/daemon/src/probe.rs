//! Asking a listener what a user would ask: connect, send a request, and see an answer in time.
//!
//! A process that believes itself well is no proof; an answer that came the whole way is.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::health::Check;
use crate::tasks::Stop;

const INTERVAL: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_secs(1);
/// One slow answer is no outage. More of the last eight are one: a listener of several threads answers from another one
/// each time, and if one of them is stuck, most probes are still answered.
const FAILURES_MAX: u32 = 1;

/// Sets `check` by whether `GET path` at `address` is answered with 200, until it is stopped.
///
/// `preface` is written before anything else, where the listener wants to hear something first.
pub async fn watch(
    address: SocketAddr,
    preface: &'static [u8],
    path: &'static str,
    check: Check,
    mut stop: Stop,
) {
    // One bit a probe, the newest lowest.
    let mut failures: u8 = 0;
    loop {
        let next = Instant::now() + INTERVAL;
        let outcome = answers(address, preface, path).await;
        failures = failures << 1 | u8::from(outcome.is_err());
        match outcome {
            Ok(()) if failures.count_ones() <= FAILURES_MAX => check.pass(),
            Ok(()) => {
                let count = failures.count_ones();
                check.fail(format!(
                    "GET http://{address}{path}: {count} of the last {} probes failed",
                    u8::BITS
                ));
            }
            Err(_) if failures.count_ones() <= FAILURES_MAX => {}
            Err(reason) => check.fail(format!("GET http://{address}{path}: {reason}")),
        }
        tokio::select! {
            () = sleep_until(next) => {}
            () = stop.requested() => return,
        }
    }
}

async fn answers(address: SocketAddr, preface: &[u8], path: &str) -> Result<(), String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(&[preface, request.as_bytes()].concat()).await?;
        // "HTTP/1.1 200" and no more: the rest is of no interest.
        let mut start = [0; 12];
        stream.read_exact(&mut start).await?;
        Ok::<_, std::io::Error>(start)
    };
    match timeout(DEADLINE, exchange).await {
        Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(start)) if start.ends_with(b" 200") => Ok(()),
        Ok(Ok(start)) => Err(format!("answered {}", String::from_utf8_lossy(&start))),
    }
}
