//! Collects an event's fields and those of the spans around it.

use std::error::Error;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::line::{Form, Line, Value};
use super::writer::Writer;

pub(super) struct Lines {
    form: Form,
    writer: Writer,
}

impl Lines {
    pub(super) fn new(form: Form, writer: Writer) -> Self {
        Self { form, writer }
    }
}

impl<S: Subscriber + for<'lookup> LookupSpan<'lookup>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.named.extend_from_slice(&of_span.named);
            }
        }
        event.record(&mut fields);
        let metadata = event.metadata();
        let line = Line {
            time,
            level: *metadata.level(),
            target: metadata.target(),
            message: &fields.message,
            fields: &fields.named,
        };
        self.writer.line(line.render(self.form));
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    named: Vec<(&'static str, Value)>,
}

impl Fields {
    fn push(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text)) => self.message = text,
            (name, value) => self.named.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, Value::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, Value::Text(value.to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Value::Signed(value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Value::Unsigned(value.into()));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.push(field, Value::Signed(value));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.push(field, Value::Unsigned(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, Value::Float(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Value::Truth(value));
    }

    /// With its causes: each error says only its own part.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.push(field, Value::Text(text));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::super::writer::tests::Shared;
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot store")]
    struct CannotStore(#[source] std::io::Error);

    #[test]
    fn an_event_carries_the_fields_of_its_spans_and_the_causes_of_its_error() {
        let sink = Shared::default();
        let writer = Writer::to(sink.clone());
        let subscriber = tracing_subscriber::registry().with(Lines::new(Form::Json, writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let connection = tracing::info_span!("connection", conn = 7, user = tracing::field::Empty);
            let _inside = connection.enter();
            connection.record("user", "alice\n");
            let error = CannotStore(std::io::Error::other("disk full"));
            tracing::info_span!("event", name = "message:send").in_scope(|| {
                tracing::warn!(%error, cause = &error as &dyn Error, ratio = 0.5, kept = true, "refused");
            });
            tracing::info!("after");
        });
        writer.flush();
        let lines = sink.text();
        let lines: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut first = lines[0].clone();
        let time = first.as_object_mut().unwrap().remove("time").unwrap();
        assert_eq!(time.as_str().map(str::len), Some("2026-01-01T00:00:00.000Z".len()));
        assert_eq!(
            first,
            serde_json::json!({
                "level": "WARN", "target": "turnpike_daemon::log::layer::tests", "message": "refused",
                "conn": 7, "user": "alice\n", "name": "message:send",
                "error": "cannot store", "cause": "cannot store: disk full", "ratio": 0.5, "kept": true,
            })
        );
        assert_eq!((&lines[1]["message"], &lines[1]["name"]), (&"after".into(), &serde_json::Value::Null));
    }
}
