//! CPU and memory of the server, looked up once a second: in the operating system for processes of this machine, or at
//! the addresses where nodes tell their metrics in the form of Prometheus.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, Url, redirect::Policy};
use tokio::{sync::watch, time::MissedTickBehavior};

use crate::process;

/// Of all processes together, since they began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    pub cpu_seconds: f64,
    pub memory_bytes: u64,
}

/// Where it is looked up.
#[derive(Clone, Debug)]
pub enum Source {
    Process(u32),
    Metrics(Url),
}

const EVERY: Duration = Duration::from_secs(1);
/// A node that takes longer is left out of that second.
const ANSWER_MAX: Duration = Duration::from_millis(900);
/// More is not read: a page of metrics is a tenth of it.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The latest, or nothing as long as one of them is not known. It ends with its last receiver.
pub fn watch(
    sources: Vec<Source>,
    token: String,
    tls: Arc<rustls::ClientConfig>,
) -> watch::Receiver<Option<Load>> {
    let (tell, told) = watch::channel(None);
    if sources.is_empty() {
        return told;
    }
    tokio::spawn(async move {
        let client = Client::builder().redirect(Policy::none()).no_proxy().timeout(ANSWER_MAX);
        let Ok(client) = client.tls_backend_preconfigured(tls.as_ref().clone()).build() else { return };
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let load = look(&sources, &client, &token).await;
            if tell.send(load).is_err() {
                return;
            }
        }
    });
    told
}

/// Of a server that nobody looks at.
pub fn unknown() -> watch::Receiver<Option<Load>> {
    watch::channel(None).1
}

async fn look(sources: &[Source], client: &Client, token: &str) -> Option<Load> {
    let mut all = Load::default();
    for source in sources {
        let load = match source {
            Source::Process(pid) => {
                Load { cpu_seconds: process::cpu_seconds(*pid)?, memory_bytes: process::memory_bytes(*pid)? }
            }
            Source::Metrics(url) => {
                let request = client.get(url.clone());
                let request = if token.is_empty() { request } else { request.bearer_auth(token) };
                let mut response = request.send().await.ok()?.error_for_status().ok()?;
                let mut page = Vec::new();
                while let Some(chunk) = response.chunk().await.ok()? {
                    if page.len() + chunk.len() > PAGE_BYTES_MAX {
                        return None;
                    }
                    page.extend_from_slice(&chunk);
                }
                read(&String::from_utf8_lossy(&page))?
            }
        };
        all.cpu_seconds += load.cpu_seconds;
        all.memory_bytes += load.memory_bytes;
    }
    Some(all)
}

/// The names that every client library of Prometheus gives to what it knows of its process.
fn read(page: &str) -> Option<Load> {
    let value = |name: &str| -> Option<f64> {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.split(' ').next()?.parse().ok()
    };
    Some(Load {
        cpu_seconds: value("process_cpu_seconds_total")?,
        memory_bytes: value("process_resident_memory_bytes")? as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_prometheus_is_read() {
        let page = "# HELP process_cpu_seconds_total CPU.\n# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 12.5\n\
                    process_resident_memory_bytes 1.5e+08 1795284000\n";
        assert_eq!(read(page), Some(Load { cpu_seconds: 12.5, memory_bytes: 150_000_000 }));
        assert_eq!(read("process_cpu_seconds_total 1\n"), None);
        assert_eq!(read(""), None);
    }
}
