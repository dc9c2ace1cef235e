//! The admin API of real nodes: who may ask, and that what is asked for takes effect, ends, and stands in the audit log.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Output;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use turnpike_lab::{Directory, Node, SECRET, binary, turnpike};

use crate::roaming::Pair;

/// Reaching it means that something is broken.
const BROKEN: Duration = Duration::from_secs(30);

struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Answer {
    /// Of what was to be done.
    fn done(self) -> Value {
        assert!(
            (200..300).contains(&self.status) && self.body["ok"] == true,
            "{} {}",
            self.status,
            self.body
        );
        self.body
    }

    fn reason(&self) -> &str {
        self.body["error"]["reason"].as_str().unwrap_or_default()
    }
}

/// With exactly these headers beside those that every request has.
async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        write!(request, "Host: {address}\r\n").unwrap();
    }
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    let body = body.map(ToString::to_string).unwrap_or_default();
    if !body.is_empty() {
        write!(request, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()).unwrap();
    }
    request.push_str("\r\n");
    request.push_str(&body);
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = tokio::time::timeout(BROKEN, exchange).await.expect("an answer in time");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer but {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = serde_json::from_str(body).unwrap_or(Value::String(body.to_owned()));
    Answer { status, head: head.to_ascii_lowercase(), body }
}

/// Somebody with a token of the role.
struct Operator<'a> {
    node: &'a Node,
    bearer: String,
}

impl<'a> Operator<'a> {
    fn of(node: &'a Node, role: &str) -> Self {
        let token = node.token(&["--user", "root", "--role", role]).unwrap();
        Self { node, bearer: format!("Bearer {token}") }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        ask(self.node.admin, method, path, &[("Authorization", &self.bearer)], body).await
    }

    async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, None).await.done()
    }
}

struct Client(WebSocketStream<TcpStream>);

impl Client {
    /// What it was refused with, if it was.
    async fn enter(address: SocketAddr, token: &str) -> Result<Self, Value> {
        let stream = TcpStream::connect(address).await.unwrap();
        let connected = tokio_tungstenite::client_async(format!("ws://{address}/ws"), stream).await;
        let Ok((mut socket, _)) = connected else { return Err(json!("turned away before it began")) };
        let connect = json!({ "id": 1, "event": "connect", "data": { "token": token } });
        socket.send(Message::text(connect.to_string())).await.unwrap();
        loop {
            let frame = tokio::time::timeout(BROKEN, socket.next()).await.expect("an answer in time");
            match frame {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if frame["event"] == "session" {
                        return Ok(Self(socket));
                    }
                    if frame.get("error").is_some()
                        || frame["event"] == "connect_error"
                        || frame["ok"] == false
                    {
                        return Err(frame);
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(json!("closed")),
                Some(Ok(_)) => {}
            }
        }
    }

    /// The code with which the server said that it closes.
    async fn closed_with(&mut self) -> u64 {
        let mut said = 0;
        loop {
            match tokio::time::timeout(BROKEN, self.0.next()).await.expect("closed in time") {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if frame["event"] == "closing" {
                        said = frame["data"]["code"].as_u64().unwrap();
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return said,
                Some(Ok(_)) => {}
            }
        }
    }
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + BROKEN;
    while !is_so().await {
        assert!(Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_admin_asks_and_no_page_of_anybody_else() {
    let node = Node::start(&[]).unwrap();
    let admin = Operator::of(&node, "admin");
    let bearer = ("Authorization", admin.bearer.as_str());
    let list = async |headers: &[(&str, &str)]| ask(node.admin, "GET", "/admin/v1/bans", headers, None).await;

    let nobody = list(&[]).await;
    assert_eq!((nobody.status, nobody.reason()), (401, "unauthorized"));
    assert!(nobody.head.contains("www-authenticate: bearer") && nobody.head.contains("x-request-id: "));
    assert!(!nobody.head.contains("access-control-allow"), "{}", nobody.head);
    let forged = format!("{}x", admin.bearer);
    for wrong in ["Bearer nonsense", "Basic cm9vdDpyb290", "Bearer", &forged] {
        assert_eq!(list(&[("Authorization", wrong)]).await.status, 401, "{wrong}");
    }
    assert_eq!(list(&[bearer, bearer]).await.status, 401, "one of two");
    for role in ["user", "service"] {
        let answer = Operator::of(&node, role).ask("GET", "/admin/v1/bans", None).await;
        assert_eq!((answer.status, answer.reason()), (403, "forbidden"), "{role}");
    }
    let answer = list(&[bearer, ("X-Request-Id", "my-own-1")]).await;
    assert!(
        answer.head.contains("x-request-id: my-own-1") && answer.head.contains("no-store"),
        "{}",
        answer.head
    );
    assert_eq!(answer.done()["bans"], json!([]));

    // A page in the operator's own browser, with the operator's own token.
    for page in [
        &[bearer, ("Origin", "https://evil.example")][..],
        &[bearer, ("Origin", "null")],
        &[bearer, ("Sec-Fetch-Site", "cross-site")],
    ] {
        let answer = ask(node.admin, "POST", "/admin/v1/drain", page, None).await;
        assert_eq!((answer.status, answer.reason()), (403, "forbidden"), "{page:?}");
    }
    let rebound =
        ask(node.admin, "POST", "/admin/v1/drain", &[bearer, ("Host", "evil.example:3011")], None).await;
    assert_eq!(rebound.status, 421);

    for (method, path, status) in [
        ("GET", "/admin/v1/nothing", 404),
        ("GET", "/admin", 404),
        ("PATCH", "/admin/v1/bans", 405),
        ("GET", "/admin/v1/bans?unknown=1", 400),
        ("GET", "/admin/v1/users/a%20b", 400),
        ("GET", "/admin/v1/audit/records?class=nonsense", 400),
        ("GET", "/admin/v1/audit/records?limit=0", 400),
        ("DELETE", "/admin/v1/bans?user=nobody", 404),
        ("POST", "/admin/v1/bans", 415),
    ] {
        let answer = admin.ask(method, path, None).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(answer.body["request_id"].is_string(), "{method} {path}: {}", answer.body);
    }
    for bad in [
        json!({}),
        json!({ "user": "a", "address": "192.0.2.1" }),
        json!({ "user": "a b" }),
        json!({ "address": "0.0.0.0/0" }),
        json!({ "address": "nowhere" }),
        json!({ "user": "a", "seconds": 0 }),
        json!({ "user": "a", "more": 1 }),
    ] {
        assert_eq!(admin.ask("POST", "/admin/v1/bans", Some(&bad)).await.status, 400, "{bad}");
    }
    let large = json!({ "user": "a", "reason": "x".repeat(20_000) });
    assert_eq!(admin.ask("POST", "/admin/v1/bans", Some(&large)).await.status, 413);

    // Who is wrong again and again waits; on this machine that keeps nobody else out.
    for _ in 0..10 {
        list(&[("Authorization", "Bearer nonsense")]).await;
    }
    let slowed = list(&[("Authorization", "Bearer nonsense")]).await;
    assert_eq!((slowed.status, slowed.reason()), (429, "rate_limited"));
    assert!(slowed.head.contains("retry-after: "), "{}", slowed.head);
    assert_eq!(list(&[bearer]).await.status, 200);

    // By name as well as by address, if a token says the name: here the address alone would not do.
    let token = node.token(&["--user", "eve", "--role", "user"]).unwrap();
    let user = Operator { node: &node, bearer: format!("Bearer {token}") };
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(user.ask("GET", "/admin/v1/bans", None).await.status);
    }
    assert_eq!((statuses.first(), statuses.last()), (Some(&403), Some(&429)), "{statuses:?}");
    assert_eq!(Operator::of(&node, "service").ask("GET", "/admin/v1/bans", None).await.status, 403);
    assert_eq!(list(&[bearer]).await.status, 200);

    let failures = admin.get("/admin/v1/audit/records?activity=login_failed&limit=1000").await;
    let failures = failures["records"].as_array().unwrap().clone();
    let of = |reason: &str| failures.iter().filter(|record| record["reason"] == reason).count();
    assert!(of("absent") > 0 && of("signature") > 0 && of("form") > 0, "{failures:?}");
    assert!(failures.len() <= 12, "a flood of them is not a flood of records: {}", failures.len());
    let metrics = ask(node.admin, "GET", "/metrics", &[], None).await.body;
    assert!(metrics.as_str().unwrap().contains("turnpike_admin_refused_total "), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_health_ask_for_a_token_where_that_is_wanted() {
    let node = Node::start(&[("TURNPIKE_ADMIN_REQUIRE_TOKEN", "true")]).unwrap();
    for path in ["/metrics", "/health"] {
        assert_eq!(ask(node.admin, "GET", path, &[], None).await.status, 401, "{path}");
        for (role, status) in [("user", 403), ("service", 200), ("admin", 200)] {
            assert_eq!(
                Operator::of(&node, role).ask("GET", path, None).await.status,
                status,
                "{role} {path}"
            );
        }
    }
    assert_eq!(ask(node.admin, "GET", "/live", &[], None).await.status, 200);
    let ready = ask(node.admin, "GET", "/ready", &[], None).await;
    assert!(ready.body.get("checks").is_none(), "the outcome alone: {}", ready.body);
    assert_eq!(Operator::of(&node, "service").ask("GET", "/admin/v1/nodes", None).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_takes_effect_on_all_nodes_and_is_lifted() {
    let pair = Pair::start(&[]);
    let admin = Operator::of(&pair.nodes[0], "admin");
    let token = pair.token("mallory");
    let mut clients = Vec::new();
    for node in &pair.nodes {
        clients.push(Client::enter(node.gateway, &token).await.expect("nothing against it yet"));
    }
    let mut other = Client::enter(pair.nodes[1].gateway, &pair.token("alice")).await.unwrap();

    let began = Instant::now();
    let ban = json!({ "user": "mallory", "seconds": 600, "reason": "of the test" });
    let placed = admin.ask("POST", "/admin/v1/bans", Some(&ban)).await;
    assert_eq!(placed.status, 201);
    assert_eq!(placed.done()["ban"]["by"], "root");
    for client in &mut clients {
        assert_eq!(client.closed_with().await, 3503);
    }
    println!("closed on both nodes after {:?}", began.elapsed());
    for node in &pair.nodes {
        let listed = Operator::of(node, "admin").get("/admin/v1/bans").await;
        assert_eq!(
            (&listed["bans"][0]["whom"], &listed["bans"][0]["reason"]),
            (&json!("mallory"), &json!("of the test"))
        );
        let refused = Client::enter(node.gateway, &token).await.err().expect("refused");
        assert!(refused.to_string().contains("banned"), "{refused}");
    }
    assert_eq!(
        Operator::of(&pair.nodes[1], "admin").ask("DELETE", "/admin/v1/bans?user=mallory", None).await.status,
        200
    );
    for node in &pair.nodes {
        eventually("lifted", async || Client::enter(node.gateway, &token).await.is_ok()).await;
    }
    assert_eq!(admin.get("/admin/v1/bans").await["bans"], json!([]));
    other.0.close(None).await.unwrap();
    assert_eq!(other.closed_with().await, 0, "it was left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_called_back_and_users_sent_away() {
    let node = Node::start(&[]).unwrap();
    let admin = Operator::of(&node, "admin");
    let token = node.token(&["--user", "mallory"]).unwrap();
    let mut client = Client::enter(node.gateway, &token).await.unwrap();
    eventually("seen", async || {
        let seen = admin.get("/admin/v1/users/mallory").await;
        seen["connections"][0]["connected"] == true && seen["devices"].as_array().unwrap().len() == 1
    })
    .await;
    let dismissal = json!({ "code": 3005 });
    assert_eq!(admin.ask("POST", "/admin/v1/users/mallory/disconnect", Some(&dismissal)).await.status, 202);
    assert_eq!(client.closed_with().await, 3005);

    let mut client = Client::enter(node.gateway, &token).await.expect("the token counts still");
    let placed = admin.ask("POST", "/admin/v1/revocations", Some(&json!({ "user": "mallory" }))).await.done();
    let before = placed["revocation"]["issued_before"].as_u64().unwrap();
    assert_eq!(client.closed_with().await, 3502);
    assert!(Client::enter(node.gateway, &token).await.is_err());
    assert_eq!(admin.get("/admin/v1/revocations").await["revocations"][0]["what"], "mallory");
    // A token of later counts.
    eventually("the next second", async || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        now >= before
    })
    .await;
    let newer = node.token(&["--user", "mallory"]).unwrap();
    Client::enter(node.gateway, &newer).await.expect("it was issued after");
    // And an admin's own token is called back like any other.
    assert_eq!(
        admin.ask("POST", "/admin/v1/revocations", Some(&json!({ "user": "root" }))).await.status,
        201
    );
    eventually("root is out", async || admin.ask("GET", "/admin/v1/nodes", None).await.status == 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_is_begun_once_watched_and_ends_the_process() {
    let mut node = Node::start(&[("TURNPIKE_DRAIN_WINDOW", "5s")]).unwrap();
    let token = node.token(&["--user", "alice"]).unwrap();
    // They leave one after the other, so there is something to watch.
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(Client::enter(node.gateway, &token).await.unwrap());
    }
    {
        let admin = Operator::of(&node, "admin");
        assert_eq!(admin.get("/admin/v1/drain").await["draining"], Value::Null);
        assert_eq!(admin.ask("POST", "/admin/v1/drain", None).await.status, 202);
        let again = admin.ask("POST", "/admin/v1/drain", None).await;
        assert_eq!((again.status, again.reason()), (409, "limit_reached"));
        eventually("under way", async || admin.get("/admin/v1/drain").await["draining"]["phase"].is_string())
            .await;
    }
    for client in &mut clients {
        assert_eq!(client.closed_with().await, 3001);
    }
    let status = node.wait(BROKEN).unwrap();
    assert_eq!(status.code(), Some(0), "{}", node.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_drained_from_another_and_both_write_down_who_wanted_it() {
    let mut pair = Pair::start(&[("TURNPIKE_DRAIN_WINDOW", "5s")]);
    let token = pair.nodes[1].token(&["--user", "alice"]).unwrap();
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(Client::enter(pair.nodes[1].gateway, &token).await.unwrap());
    }
    let audit_records = async |admin: &Operator<'_>| {
        let records = admin.get("/admin/v1/audit/records?since=1h&class=admin&limit=1000").await;
        let records = records["records"].as_array().unwrap().clone();
        records
            .into_iter()
            .filter(|one| one["request"]["route"] == "/admin/v1/nodes/{node}/drain")
            .collect::<Vec<_>>()
    };
    {
        let [here, there] = [0, 1].map(|index| Operator::of(&pair.nodes[index], "admin"));
        eventually("both are known", async || {
            here.get("/admin/v1/nodes").await["nodes"].as_array().is_some_and(|nodes| nodes.len() == 2)
        })
        .await;
        assert_eq!(here.ask("POST", "/admin/v1/nodes/n3/drain", None).await.status, 404);
        assert_eq!(here.ask("GET", "/admin/v1/nodes/n2/drain", None).await.status, 405);
        let service = Operator::of(&pair.nodes[0], "service");
        assert_eq!(service.ask("POST", "/admin/v1/nodes/n2/drain", None).await.status, 403);
        assert_eq!(there.get("/admin/v1/drain").await["draining"], Value::Null, "nobody who may has asked");
        let asked = here.ask("POST", "/admin/v1/nodes/n2/drain", None).await;
        assert_eq!((asked.status, &asked.body["node"]), (202, &json!("n2")), "{}", asked.body);
        let of_there = audit_records(&there).await;
        let activities: Vec<&str> = of_there.iter().map(|one| one["activity"].as_str().unwrap()).collect();
        assert_eq!(activities, ["intent", "result"], "{of_there:#?}");
        for record in of_there.iter().chain(&audit_records(&here).await) {
            assert!(record.to_string().contains("\"root\""), "{record:#}");
        }
        let again = here.ask("POST", "/admin/v1/nodes/n2/drain", None).await;
        assert_eq!((again.status, again.reason()), (409, "limit_reached"));
    }
    for client in &mut clients {
        assert_eq!(client.closed_with().await, 3001);
    }
    let status = pair.nodes[1].wait(BROKEN).unwrap();
    assert_eq!(status.code(), Some(0), "{}", pair.nodes[1].log());
    let here = Operator::of(&pair.nodes[0], "admin");
    assert_eq!(here.get("/admin/v1/drain").await["draining"], Value::Null, "this one stays");
    eventually("it is gone", async || here.ask("POST", "/admin/v1/nodes/n2/drain", None).await.status == 404)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_logged_changes_for_a_while() {
    let node = Node::start(&[]).unwrap();
    let admin = Operator::of(&node, "admin");
    let refused_request = async || {
        let token = node.token(&["--user", "u", "--role", "service"]).unwrap();
        let bearer = format!("Bearer {token}");
        let path = "/api/v1/rooms?limit=no";
        ask(node.gateway, "GET", path, &[("Authorization", bearer.as_str())], None).await;
    };
    let is_said = || node.log().matches("request of a backend refused").count();
    refused_request().await;
    assert_eq!(is_said(), 0);
    for bad in [json!({ "levels": "loud" }), json!({ "levels": "debug", "seconds": 100_000 }), json!({})] {
        assert_eq!(admin.ask("PUT", "/admin/v1/log-level", Some(&bad)).await.status, 400, "{bad}");
    }
    // Longer than a busy machine takes for a token and a request.
    let wanted = json!({ "levels": "warn,turnpike_gateway=debug", "seconds": 8 });
    let set = admin.ask("PUT", "/admin/v1/log-level", Some(&wanted)).await.done();
    assert_eq!((&set["configured"], &set["back_in_seconds"]), (&json!("warn"), &json!(8)));
    refused_request().await;
    eventually("said", async || is_said() == 1).await;
    eventually("as configured", async || admin.get("/admin/v1/log-level").await["levels"] == "warn").await;
    refused_request().await;
    assert_eq!(admin.ask("PUT", "/admin/v1/log-level", Some(&wanted)).await.status, 200);
    let reset = admin.ask("DELETE", "/admin/v1/log-level", None).await.done();
    assert_eq!((&reset["levels"], &reset["back_in_seconds"]), (&json!("warn"), &Value::Null));
    assert_eq!(is_said(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_has_what_was_done_and_says_that_it_is_sound() {
    let node = Node::start(&[]).unwrap();
    let admin = Operator::of(&node, "admin");
    let bearer = ("Authorization", admin.bearer.as_str());
    let ban = json!({ "address": "192.0.2.0/24" });
    let placed =
        ask(node.admin, "POST", "/admin/v1/bans", &[bearer, ("X-Request-Id", "first")], Some(&ban)).await;
    assert_eq!(placed.status, 201);
    let path = "/admin/v1/bans?address=192.0.2.0%2F24";
    assert_eq!(
        ask(node.admin, "DELETE", path, &[bearer, ("X-Request-Id", "second")], None).await.status,
        200
    );
    assert_eq!(ask(node.admin, "DELETE", path, &[bearer, ("X-Request-Id", "third")], None).await.status, 404);

    let path = "/admin/v1/audit/records?since=1h";
    let found = ask(node.admin, "GET", path, &[bearer, ("X-Request-Id", "fourth")], None).await.done();
    let found: Vec<(String, String, String, String)> = found["records"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|record| ["admin", "ban"].contains(&record["class"].as_str().unwrap()))
        .map(|record| {
            assert_eq!(record["beside"]["actor.user"][1], "root", "{record}");
            assert_eq!(record["connection"]["transport"], "admin", "{record}");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (
                text(&record["request"]["id"]),
                text(&record["activity"]),
                text(&record["outcome"]),
                text(&record["beside"]["object.id"][1]),
            )
        })
        .collect();
    let said = |id: &str, activity: &str, outcome: &str, object: &str| {
        (id.to_owned(), activity.to_owned(), outcome.to_owned(), object.to_owned())
    };
    let network = "192.0.2.0/24";
    assert_eq!(
        found,
        [
            said("first", "intent", "pending", network),
            said("first", "placed", "success", network),
            said("first", "result", "success", network),
            said("second", "intent", "pending", network),
            said("second", "lifted", "success", network),
            said("second", "result", "success", network),
            said("third", "intent", "pending", network),
            said("third", "result", "failure", network),
            said("fourth", "intent", "pending", ""),
        ]
    );

    // Page by page it is the same.
    let mut paged: Vec<Value> = Vec::new();
    let mut after = String::new();
    loop {
        let page = admin
            .get(&format!("/admin/v1/audit/records?class=admin&until=2999-01-01T00:00Z&limit=2{after}"))
            .await;
        paged.extend(page["records"].as_array().unwrap().iter().take(20).cloned());
        match page["next"].as_u64() {
            Some(next) if paged.len() < 9 => after = format!("&after={next}"),
            _ => break,
        }
    }
    let requests: Vec<&str> =
        paged.iter().take(6).map(|record| record["request"]["id"].as_str().unwrap()).collect();
    assert_eq!(requests, ["first", "first", "second", "second", "third", "third"]);
    let numbers: Vec<u64> = paged.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted_by(|one, other| one < other), "{numbers:?}");

    let keys = admin.get("/admin/v1/audit/keys").await;
    assert!(keys["keys"][0].as_str().unwrap().starts_with("turnpike/"), "{keys}");
    eventually("a checkpoint", async || {
        let found = admin.get("/admin/v1/audit/checkpoints").await;
        found["checkpoints"][0]["note"].as_str().is_some_and(|note| note.starts_with("turnpike/"))
    })
    .await;
    assert_eq!(admin.get("/admin/v1/audit/verification").await["state"], "none");
    assert_eq!(admin.ask("POST", "/admin/v1/audit/verification", None).await.status, 202);
    eventually("verified", async || admin.get("/admin/v1/audit/verification").await["state"] == "done").await;
    let report = admin.get("/admin/v1/audit/verification").await;
    assert_eq!(report["report"]["verdict"], "sound", "{report}");

    let configuration = ask(node.admin, "GET", "/admin/v1/configuration", &[bearer], None).await;
    assert!(!configuration.body.to_string().contains(SECRET));
    let keys = configuration.done()["keys"].as_array().unwrap().clone();
    let secret = keys.iter().find(|key| key["key"] == "auth.jwt_secret").unwrap();
    assert_eq!(*secret, json!({ "key": "auth.jwt_secret", "set": true, "from": "environment JWT_SECRET" }));
}

/// `turnpike admin` as an operator types it on the machine of the node.
fn command(node: &Node, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let directory = Directory::new("admin").unwrap();
    let mut command = binary(&turnpike().unwrap(), &directory);
    let port = node.admin.port().to_string();
    command.arg("admin").args(arguments).envs([
        ("JWT_SECRET", SECRET),
        ("ADMIN_PORT", &port),
        ("USER", "olga"),
    ]);
    command.envs(environment.iter().copied()).output().unwrap()
}

fn said(output: Output) -> String {
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), error.as_str()), (Some(0), ""));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_does_the_same() {
    let node = Node::start(&[("SERVER_ID", "n1")]).unwrap();
    let ask = |arguments: &[&str]| said(command(&node, arguments, &[]));
    let nodes = ask(&["nodes"]);
    assert!(nodes.starts_with("NAME") && nodes.contains("n1") && nodes.contains("serving"), "{nodes}");
    assert!(ask(&["node"]).contains("lease held"));
    assert_eq!(ask(&["bans"]), "nobody is shut out\n");
    let added = ask(&["bans", "add", "--address", "192.0.2.0/24", "--for", "2h", "--reason", "a test"]);
    assert!(added.starts_with("192.0.2.0/24 is shut out until 2"), "{added}");
    let bans = ask(&["bans", "list"]);
    assert!(bans.contains("192.0.2.0/24") && bans.contains("olga") && bans.contains("a test"), "{bans}");
    let json: Value = serde_json::from_str(&ask(&["bans", "--json"])).unwrap();
    assert_eq!((json["ok"].as_bool(), &json["bans"][0]["by"]), (Some(true), &json!("olga")));
    assert_eq!(ask(&["bans", "lift", "--address", "192.0.2.0/24"]), "the ban is lifted\n");
    assert_eq!(ask(&["revoke", "token", "some-jti"]), "called back\n");
    assert!(ask(&["revocations"]).contains("some-jti"));
    assert!(ask(&["user", "nobody"]).contains("not connected"));
    assert!(ask(&["disconnect", "nobody"]).contains("asked of every node"));
    assert_eq!(ask(&["log-level"]), "warn, as configured\n");
    assert_eq!(ask(&["log-level", "error", "--for", "1m"]), "error, for 60 s; then warn\n");
    assert_eq!(ask(&["log-level", "reset"]), "warn, as configured\n");
    assert_eq!(ask(&["drain", "status"]), "serving\n");
    assert!(ask(&["verify"]).starts_with("running"));
    assert!(
        ask(&["config"]).lines().any(|line| line.starts_with("auth.jwt_secret") && line.contains("(hidden)"))
    );

    let failed = |arguments: &[&str], environment: &[(&str, &str)]| {
        let output = command(&node, arguments, environment);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = failed(&["bans", "lift", "--user", "nobody"], &[]);
    assert!(code == 1 && error.contains("nothing holds against them"), "{code} {error}");
    let (code, error) = failed(&["nodes"], &[("TURNPIKE_ADMIN_TOKEN", "nonsense")]);
    assert!(code == 77 && error.contains("(unauthorized)"), "{code} {error}");
    let (code, error) = failed(&["nodes"], &[("ADMIN_PORT", "1")]);
    assert!(
        code == 69 && error.contains("cannot be reached") && error.contains("ADMIN_PORT"),
        "{code} {error}"
    );
    for wrong in [
        &["ban"][..],
        &["bans", "add"],
        &["bans", "add", "--user", "a", "--address", "192.0.2.1"],
        &["nodes", "--for", "1h"],
        &["bans", "add", "--user", "a", "--for", "soon"],
        &["revoke", "user"],
        &["user", "a b"],
        &["nodes", "--url", "10.0.0.1"],
    ] {
        assert_eq!(failed(wrong, &[]).0, 64, "{wrong:?}");
    }
    // Nothing keeps it, and the answer comes all the same.
    assert!(ask(&["drain"]).contains("the node leaves"));
    eventually("gone", async || failed(&["nodes"], &[]).0 == 69).await;
}
