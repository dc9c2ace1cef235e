//! OTLP over HTTP in its JSON form: ids in hex, 64-bit numbers as texts, enums as numbers.

use serde_json::{Value as Json, json};

use crate::{Span, Value};

/// Who tells.
#[derive(Debug, Clone)]
pub struct Resource {
    pub service: String,
    pub version: &'static str,
    pub node: String,
}

/// Whoever propagates a context says with this bit that the trace is kept.
const SAMPLED: u32 = 1;
/// `STATUS_CODE_ERROR`.
const ERROR: u32 = 2;

/// An `ExportTraceServiceRequest`.
pub fn encode(resource: &Resource, spans: &[Span]) -> String {
    let Resource { service, version, node } = resource;
    let about =
        [("service.name", service.as_str()), ("service.version", version), ("service.instance.id", node)];
    let about: Vec<Json> = about.into_iter().map(|(key, value)| attribute(key, &value.into())).collect();
    let scope = json!({ "name": "turnpike", "version": version });
    let spans: Vec<Json> = spans.iter().map(span).collect();
    json!({
        "resourceSpans": [{
            "resource": { "attributes": about },
            "scopeSpans": [{ "scope": scope, "spans": spans }],
        }],
    })
    .to_string()
}

fn span(span: &Span) -> Json {
    let Span { context, parent, name, kind, begun_ns, ended_ns, attributes, links, failure } = span;
    let attributes: Vec<Json> = attributes.iter().map(|(key, value)| attribute(key, value)).collect();
    let mut told = json!({
        "traceId": format!("{:032x}", context.trace),
        "spanId": format!("{:016x}", context.span),
        "name": name,
        "kind": *kind as u32,
        "startTimeUnixNano": begun_ns.to_string(),
        "endTimeUnixNano": ended_ns.to_string(),
        "flags": SAMPLED,
        "attributes": attributes,
    });
    if let Some(parent) = parent {
        told["parentSpanId"] = format!("{parent:016x}").into();
    }
    if !links.is_empty() {
        let link = |other: &crate::TraceContext| json!({ "traceId": format!("{:032x}", other.trace), "spanId": format!("{:016x}", other.span) });
        told["links"] = links.iter().map(link).collect();
    }
    if let Some(why) = failure {
        told["status"] = json!({ "code": ERROR, "message": why });
    }
    told
}

fn attribute(key: &str, value: &Value) -> Json {
    let value = match value {
        Value::Text(text) => json!({ "stringValue": text }),
        Value::Number(number) => json!({ "intValue": number.to_string() }),
    };
    json!({ "key": key, "value": value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, TraceContext};

    #[test]
    fn in_the_words_of_the_protocol() {
        let context = TraceContext { trace: 0xab, span: 0xcd, sampled: true };
        let span = Span {
            context,
            parent: Some(0xef),
            name: "publish",
            kind: Kind::Producer,
            begun_ns: 1_700_000_000_000_000_001,
            ended_ns: 1_700_000_000_000_000_002,
            attributes: vec![("room", "chat:\"1\"".into()), ("seq", 7.into())],
            links: vec![TraceContext { trace: 1, span: 2, sampled: true }],
            failure: Some("unavailable"),
        };
        let resource = Resource { service: "turnpike".into(), version: "1.2.3", node: "n1".into() };
        let text = encode(&resource, &[span]);
        let told: Json = serde_json::from_str(&text).unwrap();
        let about = &told["resourceSpans"][0]["resource"]["attributes"];
        assert_eq!(about[0], json!({ "key": "service.name", "value": { "stringValue": "turnpike" } }));
        assert_eq!(
            told["resourceSpans"][0]["scopeSpans"][0]["spans"][0],
            json!({
                "traceId": "000000000000000000000000000000ab",
                "spanId": "00000000000000cd",
                "parentSpanId": "00000000000000ef",
                "name": "publish",
                "kind": 4,
                "startTimeUnixNano": "1700000000000000001",
                "endTimeUnixNano": "1700000000000000002",
                "flags": 1,
                "attributes": [
                    { "key": "room", "value": { "stringValue": "chat:\"1\"" } },
                    { "key": "seq", "value": { "intValue": "7" } },
                ],
                "links": [{ "traceId": "00000000000000000000000000000001", "spanId": "0000000000000002" }],
                "status": { "code": 2, "message": "unavailable" },
            })
        );
    }
}
