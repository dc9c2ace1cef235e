//! Traces, and the collector that is told of them. The names are those that OpenTelemetry gives to every program.

use std::time::Duration;

use turnpike_daemon::config::{Form, Secret, Setting};
use turnpike_daemon::section;

use super::webhooks::HttpUrl;

section! {
    /// Traces for a collector of OpenTelemetry, over HTTP as JSON. Without an endpoint there are none.
    pub(crate) struct Telemetry in "telemetry" {
        /// Where the collector takes OTLP over HTTP; traces go to `/v1/traces` behind it.
        endpoint: Option<HttpUrl> = "", "OTEL_EXPORTER_OTLP_ENDPOINT";
        /// Headers of each request to it, such as those that it wants to be authorised by: `NAME=VALUE`, separated by commas.
        headers: Option<Secret> = "", "OTEL_EXPORTER_OTLP_HEADERS";
        /// What this system is called there.
        service_name: String = "turnpike", "OTEL_SERVICE_NAME";
        /// How many of the traces that begin here are kept, as a part of 1. Of those that a backend began, all that it keeps.
        sample_ratio: Ratio = "0.01", "OTEL_TRACES_SAMPLER_ARG", "0" to "1";
        /// Spans that wait for the collector. Beyond it new ones are dropped and counted.
        queue_max: usize = "2048", "OTEL_BSP_MAX_QUEUE_SIZE", "1" to "1000000";
        /// How long one request to the collector may take.
        timeout: Duration = "10s", "TURNPIKE_TELEMETRY_TIMEOUT", "100ms" to "1m";
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio(pub(crate) f64);

impl Setting for Ratio {
    const EXPECTS: &'static str = "a number such as `0.01`";
    const FORM: Form = Form::Bare;

    fn parse(text: &str) -> Result<Self, String> {
        let number: f64 = text.parse().map_err(|_| "is not a number")?;
        number.is_finite().then_some(Self(number)).ok_or_else(|| "is not a number".into())
    }

    fn show(&self) -> String {
        self.0.to_string()
    }

    fn order(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.0.partial_cmp(&other.0)
    }
}
