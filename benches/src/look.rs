//! Looks at servers of ours from outside while a load runs: what their metrics say, and how long they take to say that they
//! live.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// An answer that takes longer has not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// The body of what a server answers to a request, and its status.
pub(crate) fn get(server: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status.with_context(|| format!("{server} answered {answer:?}"))?, body.to_owned()))
}

/// The sum of a metric over its labels.
pub(crate) fn metric(admin: SocketAddr, name: &str) -> anyhow::Result<f64> {
    let (status, text) = get(admin, "/metrics")?;
    anyhow::ensure!(status == 200, "metrics: {status}");
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        (rest.starts_with(' ') || rest.starts_with('{'))
            .then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    Ok(values.sum())
}

/// Asks servers all the time whether they live.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    watchers: Vec<JoinHandle<Duration>>,
}

impl Watch {
    pub(crate) fn over(servers: &[SocketAddr], interval: Duration) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let watch = |server: SocketAddr| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                let mut longest = Duration::ZERO;
                while !over.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let lives = get(server, "/live").is_ok_and(|(status, _)| status == 200);
                    longest = longest.max(if lives { begun.elapsed() } else { PATIENCE });
                    std::thread::sleep(interval);
                }
                longest
            })
        };
        let watchers = servers.iter().copied().map(watch).collect();
        Self { over, watchers }
    }

    /// The longest that one of them has taken.
    pub(crate) fn longest(self) -> anyhow::Result<Duration> {
        self.over.store(true, Ordering::Relaxed);
        let longest = self.watchers.into_iter().map(|watcher| watcher.join().ok());
        longest.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max()).context("a watcher")
    }
}
