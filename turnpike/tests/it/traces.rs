//! What a collector of OpenTelemetry is told, held to the form of OTLP's JSON; and a collector that is away.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::polling::Client;
use crate::process::{Directory, PATIENCE, System, eventually, get, run, stdout};

const API_KEY: &str = "0123456789-abcdefghij-ABCDEFGHIJ";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Takes whatever is of the form, and refuses the rest.
struct Collector {
    address: String,
    spans: Arc<Mutex<Vec<Value>>>,
    faults: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (spans, faults) = (Arc::<Mutex<Vec<Value>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let collector = Self { address, spans: Arc::clone(&spans), faults: Arc::clone(&faults) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (spans, faults) = (Arc::clone(&spans), Arc::clone(&faults));
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream.unwrap());
                    while let Some((head, body)) = request(&mut stream) {
                        let taken = take(&head, &body);
                        let status = if taken.is_ok() { "200 OK" } else { "400 Bad Request" };
                        match taken {
                            Ok(found) => spans.lock().unwrap().extend(found),
                            Err(fault) => faults.lock().unwrap().push(format!("{fault}: {body}")),
                        }
                        let answer = format!(
                            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
                        );
                        stream.get_mut().write_all(answer.as_bytes()).unwrap();
                    }
                });
            }
        });
        collector
    }

    fn named(&self, name: &str) -> Vec<Value> {
        assert_eq!(*self.faults.lock().unwrap(), Vec::<String>::new());
        self.spans.lock().unwrap().iter().filter(|span| span["name"] == name).cloned().collect()
    }
}

/// Request line with headers in lower case, and the body.
fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line.to_lowercase());
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

fn take(head: &str, body: &str) -> Result<Vec<Value>, String> {
    if !head.starts_with("post /v1/traces http/1.1") || !head.contains("content-type: application/json\r\n") {
        return Err(format!("not a request for traces: {head}"));
    }
    if !head.contains("x-tenant: acme\r\n") {
        return Err("a header is missing".into());
    }
    let told: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    only(&told, &["resourceSpans"])?;
    let mut all = Vec::new();
    for of_resource in list(&told["resourceSpans"])? {
        only(of_resource, &["resource", "scopeSpans", "schemaUrl"])?;
        let about = attributes(&of_resource["resource"]["attributes"])?;
        if about.get("service.name") != Some(&Value::from("shop-chat"))
            || !about.contains_key("service.version")
        {
            return Err(format!("not said who it is: {about:?}"));
        }
        for of_scope in list(&of_resource["scopeSpans"])? {
            only(of_scope, &["scope", "spans", "schemaUrl"])?;
            for span in list(&of_scope["spans"])? {
                check(span)?;
                all.push(span.clone());
            }
        }
    }
    Ok(all)
}

fn check(span: &Value) -> Result<(), String> {
    const FIELDS: [&str; 12] = [
        "traceId",
        "spanId",
        "parentSpanId",
        "traceState",
        "flags",
        "name",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "attributes",
        "links",
        "status",
    ];
    only(span, &FIELDS)?;
    hex(&span["traceId"], 32)?;
    hex(&span["spanId"], 16)?;
    if !span["parentSpanId"].is_null() {
        hex(&span["parentSpanId"], 16)?;
    }
    let (begun, ended) = (number(&span["startTimeUnixNano"])?, number(&span["endTimeUnixNano"])?);
    // Later than 2020, and not backwards.
    if begun < 1_577_836_800_000_000_000 || ended < begun || ended - begun > 600_000_000_000 {
        return Err(format!("times: {begun} to {ended}"));
    }
    if !span["kind"].as_u64().is_some_and(|kind| (1..=5).contains(&kind)) || !span["name"].is_string() {
        return Err("kind or name".into());
    }
    attributes(&span["attributes"])?;
    for link in span["links"].as_array().into_iter().flatten() {
        only(link, &["traceId", "spanId", "traceState", "attributes", "flags"])?;
        hex(&link["traceId"], 32)?;
        hex(&link["spanId"], 16)?;
    }
    Ok(())
}

fn attributes(told: &Value) -> Result<BTreeMap<String, Value>, String> {
    let mut all = BTreeMap::new();
    for attribute in list(told)? {
        only(attribute, &["key", "value"])?;
        let value =
            attribute["value"].as_object().filter(|value| value.len() == 1).ok_or("a value of one kind")?;
        let (kind, value) = value.iter().next().unwrap();
        match kind.as_str() {
            "stringValue" if value.is_string() => {}
            "intValue" => drop(number(value)?),
            other => return Err(format!("a value that is {other}")),
        }
        let key = attribute["key"].as_str().ok_or("a key")?;
        if all.insert(key.to_owned(), value.clone()).is_some() {
            return Err(format!("{key} twice"));
        }
    }
    Ok(all)
}

fn only(object: &Value, fields: &[&str]) -> Result<(), String> {
    let object = object.as_object().ok_or_else(|| format!("no object: {object}"))?;
    match object.keys().find(|key| !fields.contains(&key.as_str())) {
        Some(key) => Err(format!("there is no field {key}")),
        None => Ok(()),
    }
}

fn list(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("no list: {value}"))
}

fn hex(value: &Value, length: usize) -> Result<(), String> {
    let is = |text: &str| {
        text.len() == length
            && text.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
            && text.bytes().any(|digit| digit != b'0')
    };
    if value.as_str().is_some_and(is) { Ok(()) } else { Err(format!("no id: {value}")) }
}

/// 64-bit numbers are texts.
fn number(value: &Value) -> Result<u64, String> {
    value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| format!("no number: {value}"))
}

fn post(gateway: &str, path: &str, headers: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(gateway).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {gateway}\r\nAuthorization: Bearer {API_KEY}\r\nContent-Type: application/json\r\n{headers}\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// A system that tells this collector of such a share of what it begins.
fn traced(directory: &Directory, collector: &Collector, share: &str) -> System {
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.address),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme"),
        ("OTEL_SERVICE_NAME", "shop-chat"),
        ("OTEL_TRACES_SAMPLER_ARG", share),
        ("TURNPIKE_API_KEY", API_KEY),
    ];
    System::start_with(directory, &[], &environment)
}

#[test]
fn handshakes_messages_and_requests_are_traced() {
    let directory = Directory::new();
    let collector = Collector::start();
    let system = traced(&directory, &collector, "1");
    let token = stdout(run(&directory, &["token", "--user", "alice"], &[]));
    let alice = Client::enter(&system.gateway, token.trim_end());
    alice.receive("40");
    alice.send(r#"421["room:join",{"room":"chat:1"}]"#);
    assert!(alice.receive("431").contains("\"ok\":true"));
    let traceparent = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n");
    let body = r#"{"from":"shop","body":{"text":"hello"}}"#;
    assert_eq!(post(&system.gateway, "/api/v1/rooms/chat:1/messages", &traceparent, body), 200);
    alice.receive("42[\"message\"");
    // In the background, a second later; the rest when the process ends.
    eventually("the handshake is told", || !collector.named("handshake").is_empty());
    system.stop();

    let [request] = &collector.named("sendMessage")[..] else { panic!("{:?}", collector.spans) };
    assert_eq!((&request["traceId"], &request["parentSpanId"]), (&TRACE.into(), &PARENT.into()));
    assert_eq!(request["kind"], 2);
    let about = attributes(&request["attributes"]).unwrap();
    assert_eq!(about["http.request.method"], "POST");
    assert_eq!(about["http.route"], "/api/v1/rooms/{room}/messages");
    assert_eq!(about["http.response.status_code"], "200");

    let published = collector.named("message publish");
    let part = published.iter().find(|span| span["traceId"] == TRACE).expect("a part of the request");
    assert_eq!(part["parentSpanId"], request["spanId"]);
    let own = published.iter().find(|span| span["traceId"] != TRACE).expect("the trace of the message");
    assert_eq!(part["links"][0]["traceId"], own["traceId"], "each leads to the other");
    assert_eq!(
        (&own["links"][0]["traceId"], &own["links"][0]["spanId"]),
        (&TRACE.into(), &request["spanId"])
    );
    let [delivered] = &collector.named("message deliver")[..] else { panic!("{:?}", collector.spans) };
    assert_eq!(delivered["traceId"], own["traceId"], "delivered as what was published");
    assert_eq!(attributes(&delivered["attributes"]).unwrap()["turnpike.room"], "chat:1");
}

#[test]
fn a_trace_that_its_beginner_does_not_keep_is_not_kept_here() {
    let directory = Directory::new();
    let collector = Collector::start();
    let system = traced(&directory, &collector, "0");
    let body = r#"{"from":"shop","body":1}"#;
    for flags in ["00", "01"] {
        let traceparent = format!("traceparent: 00-{TRACE}-{PARENT}-{flags}\r\n");
        assert_eq!(post(&system.gateway, "/api/v1/rooms/chat:1/messages", &traceparent, body), 200);
    }
    // Two headers, and one of another form, are none.
    let twice = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n").repeat(2);
    for headers in [&*twice, "traceparent: nonsense\r\n", ""] {
        assert_eq!(post(&system.gateway, "/api/v1/rooms/chat:1/messages", headers, body), 200);
    }
    system.stop();
    assert_eq!(collector.named("sendMessage").len(), 1);
}

#[test]
fn a_collector_that_is_away_harms_nobody() {
    let directory = Directory::new();
    // Takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_TRACES_SAMPLER_ARG", "1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
        ("TURNPIKE_TELEMETRY_TIMEOUT", "200ms"),
        ("TURNPIKE_API_KEY", API_KEY),
    ];
    let system = System::start_with(&directory, &[], &environment);
    let metric = |name: &str| {
        let (_, metrics) = get(&system.admin, "/metrics");
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap().parse::<u64>().unwrap()
    };
    let body = r#"{"from":"shop","body":1}"#;
    eventually("spans are dropped", || {
        for _ in 0..50 {
            assert_eq!(post(&system.gateway, "/api/v1/rooms/chat:1/messages", "", body), 200);
        }
        metric("turnpike_trace_spans_dropped_total") > 50
            && metric("turnpike_trace_spans_total{outcome=\"refused\"}") > 0
    });
    let (_, health) = get(&system.admin, "/health");
    assert!(health.contains("\"status\":\"ok\""), "{health}");
    let log = system.stop();
    let said = log.iter().filter(|line| line.contains("the collector takes no traces")).count();
    assert_eq!(said, 1, "once, not for each: {log:#?}");
}
