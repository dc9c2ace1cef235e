//! Brings traces to the collector: some spans at a time, tried again for a while, and dropped when it does not take them. A
//! collector that is away or slow costs spans, which are counted, and nothing else.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use anyhow::Context as _;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, StatusCode, Url, redirect};
use turnpike_daemon::config::Secret;
use turnpike_daemon::tasks::{Stop, Tasks};
use turnpike_telemetry::{Queue, Resource, Span, Tracer, encode};

use crate::config::Config;
use crate::run::VERSION;

const SPANS_A_REQUEST_MAX: usize = 512;
/// How long the first span of a request waits for others.
const LINGER: Duration = Duration::from_secs(1);
const ATTEMPTS_MAX: u32 = 4;
const BACKOFF: Duration = Duration::from_millis(500);
/// Of what the process has when it ends, so much time is spent on the rest.
const FAREWELL: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

pub(crate) struct Telemetry {
    pub(crate) tracer: Tracer,
    meters: IntCounterVec,
    exporter: Option<Exporter>,
}

struct Exporter {
    queue: Queue,
    client: Client,
    url: Url,
    resource: Resource,
    meters: IntCounterVec,
}

impl Telemetry {
    /// Nothing is traced where there is no collector.
    pub(crate) fn new(config: &Config, registry: &Registry) -> anyhow::Result<Self> {
        let about = Opts::new(
            "turnpike_trace_spans_total",
            "Spans of traces, by what became of them: taken by the collector, or not.",
        );
        let meters = IntCounterVec::new(about, &["outcome"])?;
        for outcome in ["exported", "refused"] {
            meters.with_label_values(&[outcome]);
        }
        let told = &config.telemetry;
        let (tracer, exporter) = if let Some(endpoint) = &told.endpoint {
            let (tracer, queue) = Tracer::new(told.sample_ratio.0, told.queue_max);
            let url = format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/'));
            let client = Client::builder()
                .no_proxy()
                .redirect(redirect::Policy::none())
                .default_headers(headers(config).context("OTEL_EXPORTER_OTLP_HEADERS")?)
                .timeout(told.timeout)
                .build()?;
            let resource =
                Resource { service: told.service_name.clone(), version: VERSION, node: config.node_id() };
            let url = url.parse().context("OTEL_EXPORTER_OTLP_ENDPOINT")?;
            (tracer, Some(Exporter { queue, client, url, resource, meters: meters.clone() }))
        } else {
            (Tracer::default(), None)
        };
        let dropped = IntCounter::new(
            "turnpike_trace_spans_dropped_total",
            "Spans of traces that were dropped because too many waited for the collector.",
        )?;
        registry.register(Box::new(meters.clone()))?;
        registry.register(Box::new(Dropped { tracer: tracer.clone(), dropped }))?;
        Ok(Self { tracer, meters, exporter })
    }

    /// Until the tasks end.
    pub(crate) fn keep(&mut self, tasks: &Tasks) {
        if let Some(exporter) = self.exporter.take() {
            tasks.spawn("telemetry", |stop| exporter.run(stop));
        }
    }

    /// What has ended is with the collector, or has had its time.
    pub(crate) async fn settle(&self) {
        let is_settled = || {
            let gone = ["exported", "refused"].map(|outcome| self.meters.with_label_values(&[outcome]).get());
            let counts = self.tracer.counts();
            gone.iter().sum::<u64>() + counts.dropped >= counts.ended
        };
        let settled = async {
            while !is_settled() {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, settled).await;
    }
}

/// `NAME=VALUE`, separated by commas, as every program of OpenTelemetry takes them.
fn headers(config: &Config) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let given = config.telemetry.headers.as_ref().map(Secret::reveal).unwrap_or_default();
    for pair in given.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        // What is wrong with it is not said with the value: it is a secret.
        let (name, value) = pair.split_once('=').context("a header is not of the form NAME=VALUE")?;
        let name: HeaderName = name.trim().parse().context("the name of a header is none")?;
        let mut value: HeaderValue = value.trim().parse().ok().context("the value of a header is none")?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

impl Exporter {
    async fn run(self, mut stop: Stop) {
        let Self { queue, client, url, resource, meters } = self;
        let (batches, mut waiting) = tokio::sync::mpsc::channel::<Vec<Span>>(1);
        // A thread of its own waits for spans: those who end one must not have to wake anybody.
        let collects =
            std::thread::Builder::new().name("telemetry".into()).spawn(move || collect(&queue, &batches));
        if let Err(error) = collects {
            tracing::error!(error = &error as &dyn std::error::Error, "traces are not exported");
            return stop.requested().await;
        }
        let deliver = async {
            let mut fails = false;
            while let Some(spans) = waiting.recv().await {
                let count = spans.len() as u64;
                let sent = send(&client, &url, encode(&resource, &spans)).await;
                let outcome = if sent.is_ok() { "exported" } else { "refused" };
                meters.with_label_values(&[outcome]).inc_by(count);
                if sent.is_err() != fails {
                    fails = sent.is_err();
                    match &sent {
                        Ok(()) => tracing::info!("the collector takes traces again"),
                        Err(problem) => {
                            tracing::warn!(problem, "the collector takes no traces: they are dropped");
                        }
                    }
                }
            }
        };
        tokio::select! {
            () = deliver => {}
            () = stop.requested() => {}
        }
    }
}

/// Ends with the tracer, or when nobody takes spans any more.
fn collect(queue: &Queue, batches: &tokio::sync::mpsc::Sender<Vec<Span>>) {
    while let Ok(first) = queue.0.recv() {
        let mut spans = vec![first];
        let until = std::time::Instant::now() + LINGER;
        while spans.len() < SPANS_A_REQUEST_MAX {
            match queue.0.recv_timeout(until.saturating_duration_since(std::time::Instant::now())) {
                Ok(span) => spans.push(span),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        // While the collector is slow this waits, the queue fills, and what finds it full is counted.
        if batches.blocking_send(spans).is_err() {
            return;
        }
    }
}

async fn send(client: &Client, url: &Url, body: String) -> Result<(), String> {
    let mut problem = String::new();
    for attempt in 0..ATTEMPTS_MAX {
        if attempt > 0 {
            tokio::time::sleep(BACKOFF * 2_u32.pow(attempt - 1)).await;
        }
        match client.post(url.clone()).body(body.clone()).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => {
                problem = format!("it answers {}", answer.status());
                // As OTLP has it: these may be tried again, all others must not.
                let again = [
                    StatusCode::TOO_MANY_REQUESTS,
                    StatusCode::BAD_GATEWAY,
                    StatusCode::SERVICE_UNAVAILABLE,
                    StatusCode::GATEWAY_TIMEOUT,
                ];
                if !again.contains(&answer.status()) {
                    break;
                }
            }
            Err(error) if error.is_timeout() => problem = "it does not answer in time".into(),
            Err(_) => problem = "it cannot be reached".into(),
        }
    }
    Err(problem)
}

/// Counted by the tracer, where nobody knows of metrics.
struct Dropped {
    tracer: Tracer,
    dropped: IntCounter,
}

impl Collector for Dropped {
    fn desc(&self) -> Vec<&Desc> {
        self.dropped.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let dropped = self.tracer.counts().dropped;
        self.dropped.inc_by(dropped.saturating_sub(self.dropped.get()));
        self.dropped.collect()
    }
}
