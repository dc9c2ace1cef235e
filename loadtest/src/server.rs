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
        let Ok(client) = client(&tls) else { return };
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let load = look(&sources, &client, &token).await.ok();
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

/// Whether all of them can be looked at; if not, what to tell whoever named them.
pub async fn check(sources: &[Source], token: &str, tls: &rustls::ClientConfig) -> Result<(), String> {
    let client = client(tls).map_err(|error| error.to_string())?;
    look(sources, &client, token).await.map(drop)
}

fn client(tls: &rustls::ClientConfig) -> reqwest::Result<Client> {
    let client = Client::builder().redirect(Policy::none()).no_proxy().timeout(ANSWER_MAX);
    client.tls_backend_preconfigured(tls.clone()).build()
}

async fn look(sources: &[Source], client: &Client, token: &str) -> Result<Load, String> {
    let mut all = Load::default();
    for source in sources {
        let load = match source {
            Source::Process(pid) => process::cpu_seconds(*pid)
                .zip(process::memory_bytes(*pid))
                .map(|(cpu_seconds, memory_bytes)| Load { cpu_seconds, memory_bytes })
                .ok_or_else(|| format!("--pid: there is no process {pid} on this machine"))?,
            Source::Metrics(url) => {
                let page =
                    page(url, client, token).await.map_err(|fault| format!("--metrics: {url}: {fault}"))?;
                let nothing = "tells neither process_cpu_seconds_total nor process_resident_memory_bytes";
                read(&page).ok_or_else(|| format!("--metrics: {url} {nothing}"))?
            }
        };
        all.cpu_seconds += load.cpu_seconds;
        all.memory_bytes += load.memory_bytes;
    }
    Ok(all)
}

async fn page(url: &Url, client: &Client, token: &str) -> Result<String, String> {
    let request = client.get(url.clone());
    let request = if token.is_empty() { request } else { request.bearer_auth(token) };
    let mut response =
        request.send().await.map_err(|_| "no answer: is it the address where the node tells its metrics?")?;
    match response.status().as_u16() {
        200 => {}
        status @ (401 | 403) => return Err(format!("status {status}: --jwt-secret must be the server's")),
        status => {
            return Err(format!("status {status}: is it the address where the node tells its metrics?"));
        }
    }
    let mut page = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| "half an answer")? {
        if page.len() + chunk.len() > PAGE_BYTES_MAX {
            return Err("an answer without end".to_owned());
        }
        page.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&page).into_owned())
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
