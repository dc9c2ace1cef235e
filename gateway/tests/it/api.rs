//! What backends ask over HTTP.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use turnpike_gateway::WebhookEvent;
use turnpike_guard::{Claims, Role};

use crate::backend::Backend;
use crate::client::Client;
use crate::house::{BROKEN, House, claims, signed, token};
use crate::http::request;
use crate::relay::{RECORDING, Relay};
use crate::weather::Weather;

fn of_role(role: Role) -> String {
    signed(&Claims { role, ..claims("shop") })
}

/// Status, headers, body.
async fn ask_as(house: &House, token: &str, method: &str, path: &str, body: &str) -> (u16, String, Value) {
    ask_with(house, &format!("authorization: Bearer {token}\r\n"), method, path, body).await
}

async fn ask_with(
    house: &House,
    headers: &str,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, String, Value) {
    let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
    let (status, head, body) = request(house, method, path, &format!("{headers}{kind}"), body).await;
    let body = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{method} {path}: {body}"));
    (status, head, body)
}

/// As a service. Status and body.
async fn ask(house: &House, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, _, answer) = ask_as(house, &of_role(Role::Service), method, path, &body).await;
    assert_eq!(answer["ok"], status < 300, "{method} {path}: {status} {answer}");
    (status, answer)
}

async fn get(house: &House, path: &str) -> Value {
    let (status, answer) = ask(house, "GET", path, &Value::Null).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// Asks until the answer is so: what nodes are told takes effect a moment later.
async fn until(house: &House, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let waited = tokio::time::timeout(BROKEN, async {
        loop {
            last = get(house, path).await;
            if holds(&last) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(waited.is_ok(), "{path}: {last}");
    last
}

fn seqs(page: &Value) -> Vec<u64> {
    page["messages"].as_array().unwrap().iter().map(|message| message["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn every_operation_is_for_backends_and_does_what_its_description_says() {
    let house = House::start();
    let relay = Relay::open(&house).await;
    relay.claim("live:show").await;
    relay.play();
    let (status, _, description) = ask_with(&house, "", "GET", "/api/v1/openapi.json", "").await;
    assert_eq!(status, 200);
    let committed = include_str!("../../../docs/openapi.json");
    assert_eq!(description, serde_json::from_str::<Value>(committed).unwrap());
    let mut walked = 0;
    for (template, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            walked += 1;
            let method = method.to_uppercase();
            let (mut path, mut query) = (template.clone(), Vec::new());
            for parameter in operation["parameters"].as_array().unwrap() {
                let name = parameter["name"].as_str().unwrap();
                let example = &parameter["example"];
                let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
                match parameter["in"].as_str().unwrap() {
                    "path" => path = path.replace(&format!("{{{name}}}"), &text.replace(':', "%3A")),
                    "query" if !example.is_null() => query.push(format!("{name}={text}")),
                    _ => {}
                }
            }
            let example = &operation["requestBody"]["content"]["application/json"]["example"];
            let body = if example.is_null() { String::new() } else { example.to_string() };
            let (status, head, answer) = ask_with(&house, "", &method, &path, &body).await;
            assert_eq!((status, &answer["error"]["code"]), (401, &json!(104)), "{method} {path}");
            assert!(head.contains("www-authenticate: bearer"), "{head}");
            let drawn = answer["request_id"].as_str().unwrap();
            assert!(head.contains(&format!("x-request-id: {drawn}")), "{head}");
            let named = "x-request-id: of-the-caller.7\r\n";
            let (_, head, answer) = ask_with(&house, named, &method, &path, &body).await;
            assert!(head.contains("x-request-id: of-the-caller.7"), "{head}");
            assert_eq!(answer["request_id"], "of-the-caller.7");
            let (status, _, answer) = ask_as(&house, "no.to.ken", &method, &path, &body).await;
            assert_eq!(status, 401, "{method} {path} {answer}");
            let (status, _, answer) = ask_as(&house, &token("alice"), &method, &path, &body).await;
            assert_eq!((status, &answer["error"]["code"]), (403, &json!(106)), "{method} {path}");
            let (status, _, _) = ask_as(&house, &of_role(Role::Service), &method, &path, &body).await;
            let is_for_admins = operation["description"].as_str().unwrap().ends_with("role `admin`.")
                && !operation["description"].as_str().unwrap().contains("`service`");
            assert_eq!(status == 403, is_for_admins, "{method} {path}: {status}");
            let unknown = format!("{path}?colour=red");
            let (status, _, answer) = ask_as(&house, &of_role(Role::Admin), &method, &unknown, &body).await;
            assert_eq!(status, 400, "{method} {unknown}");
            assert!(answer["error"]["message"].as_str().unwrap().contains("`colour`"), "{answer}");
            let path = format!("{path}?{}", query.join("&"));
            let (status, head, answer) = ask_as(&house, &of_role(Role::Admin), &method, &path, &body).await;
            let success = &operation["responses"][status.to_string()];
            assert!(status < 300 && success["description"] == "Done.", "{method} {path}: {status} {answer}");
            assert_eq!(answer["ok"], true);
            assert!(head.contains("cache-control: no-store") && head.contains("x-request-id: "));
            let of = &success["content"]["application/json"]["schema"]["allOf"][1]["$ref"];
            let of = of.as_str().unwrap().rsplit('/').next().unwrap();
            let schema = &description["components"]["schemas"][of];
            for field in schema["required"].as_array().into_iter().flatten() {
                assert!(answer.get(field.as_str().unwrap()).is_some(), "{method} {path}: {field}: {answer}");
            }
            for (field, _) in answer.as_object().unwrap() {
                assert!(field == "ok" || schema["properties"].get(field).is_some(), "{path}: {field}");
            }
            let id = operation["operationId"].as_str().unwrap();
            for status in [&*status.to_string(), "401", "403"] {
                assert!(
                    house.metric("turnpike_gateway_api_requests_total", &[id, status]) > 0,
                    "{id} {status}"
                );
            }
        }
    }
    assert!(walked >= 11, "{walked}");
    let (status, head, _) = ask_as(&house, &of_role(Role::Admin), "DELETE", "/api/v1/rooms", "").await;
    assert!(status == 405 && head.contains("allow: get"), "{status} {head}");
    assert_eq!(ask_as(&house, &of_role(Role::Admin), "GET", "/api/v1/revoke", "").await.0, 404);
}

#[tokio::test]
async fn a_key_is_as_good_as_a_token_of_a_service_and_no_better() {
    const KEY: &str = "Zm9yIGEgdGVzdCBhbmQgbm90aGluZyBlbHNl";
    let house = House::with(|plan| {
        plan.api_keys =
            turnpike_gateway::ApiKeys::new([&b"another, 32 bytes long, as it is"[..], KEY.as_bytes()]);
    });
    let body = r#"{"from":"shop","body":1}"#;
    let (status, _, answer) = ask_as(&house, KEY, "POST", "/api/v1/rooms/chat:a/messages", body).await;
    assert_eq!((status, &answer["seq"]), (200, &json!(1)));
    assert_eq!(ask_as(&house, KEY, "GET", "/api/v1/info/monitoring", "").await.0, 403);
    for wrong in [&KEY[1..], &KEY[..KEY.len() - 1], &KEY.to_lowercase(), ""] {
        let (status, head, _) = ask_as(&house, wrong, "GET", "/api/v1/rooms", "").await;
        assert!(status == 401 && head.contains("www-authenticate: bearer"), "{wrong}: {status}");
    }
    assert_eq!(ask_as(&House::start(), KEY, "GET", "/api/v1/rooms", "").await.0, 401);
    let (mut client, headers) = (Client::open(house.address()).await, json!({ "token": KEY }));
    assert_eq!(client.connect(&headers).await.unwrap_err()["data"]["code"], 104, "it opens no connection");
}

#[tokio::test]
async fn a_message_is_sent_once_under_its_key() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    alice.join("chat:a").await;
    let path = "/api/v1/rooms/chat:a/messages";
    let bearer = format!("authorization: bearer {}\r\n", of_role(Role::Service));
    let send = async |key: &str, body: Value| {
        let headers = format!("{bearer}idempotency-key: {key}\r\n");
        let (status, _, answer) = ask_with(&house, &headers, "POST", path, &body.to_string()).await;
        (status, answer)
    };
    let (status, first) = send("k-1", json!({ "from": "shop", "body": { "n": 1 } })).await;
    assert_eq!((status, &first["id"], &first["seq"]), (200, &json!("k-1"), &json!(1)), "{first}");
    assert_eq!(alice.message().await, (1, json!({ "n": 1 })));
    let (_, again) = send("\"k-1\"", json!({ "from": "shop", "body": { "n": 1 }, "id": "k-1" })).await;
    assert_eq!((&again["seq"], &again["ts"], &again["duplicate"]), (&json!(1), &first["ts"], &json!(true)));
    for (key, body) in [
        ("k-2", json!({ "from": "shop", "body": 1, "id": "k-3" })),
        ("k 2", json!({ "from": "shop", "body": 1 })),
        ("k-2", json!({ "from": "shop", "body": 1, "volatile": true })),
    ] {
        let (status, answer) = send(key, body).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(101)), "{answer}");
    }
    let (status, answer) =
        send("k-4", json!({ "from": "shop", "body": 1, "age_ms": 9_007_199_254_740_991u64 })).await;
    assert_eq!((status, answer["ok"].clone()), (409, json!(false)), "{answer}");
    let (_, volatile) =
        ask(&house, "POST", path, &json!({ "from": "shop", "body": "now", "volatile": true })).await;
    assert_eq!(volatile["seq"], 1);
    let event = alice.event().await;
    assert_eq!((&event.data["body"], &event.data["volatile"]), (&json!("now"), &json!(true)));
    alice.has_nothing_more().await;
}

#[tokio::test]
async fn what_is_not_understood_is_refused_with_its_reason() {
    let house = House::with(|plan| plan.limits.body_bytes_max = 1000);
    let service = of_role(Role::Service);
    let path = "/api/v1/rooms/chat:a/messages";
    let deep = format!(r#"{{"from":"shop","body":{}1{}}}"#, "[".repeat(63), "]".repeat(63));
    let large = format!(r#"{{"from":"shop","body":"{}"}}"#, "x".repeat(1000));
    let larger = format!(r#"{{"from":"shop","body":"{}"}}"#, "x".repeat(6000));
    for (method, path, body, status, says) in [
        ("POST", path, r#"{"from":"shop","body":1,"colour":1}"#, 400, "colour"),
        ("POST", path, r#"{"from":"shop"}"#, 400, "body"),
        ("POST", path, r#"{"from":"a b","body":1}"#, 400, "user id"),
        ("POST", path, "{", 400, ""),
        ("POST", path, &deep, 400, "62"),
        ("POST", path, r#"{"from":"shop","body":"\ud800"}"#, 400, "body"),
        ("POST", path, r#"{"from":"shop","body":{"_placeholder":true,"num":0}}"#, 400, "placeholders"),
        ("POST", path, &large, 413, "1000"),
        ("POST", path, &larger, 413, "bytes"),
        ("POST", "/api/v1/rooms/chat%20a/messages", r#"{"from":"shop","body":1}"#, 400, "room id"),
        ("GET", "/api/v1/rooms/chat:a/messages?after=1&before=2", "", 400, "exclude"),
        ("GET", "/api/v1/rooms/chat:a/messages?after=x", "", 400, "after"),
        ("GET", "/api/v1/rooms/chat:a/messages?limit=101", "", 400, "100"),
        ("GET", "/api/v1/rooms/chat:a/messages?limit=1&limit=1", "", 400, "twice"),
        ("GET", "/api/v1/rooms/chat:a/presence?cursor=a%20b", "", 400, "cursor"),
        ("GET", "/api/v1/users/a%20b", "", 400, "user id"),
        ("POST", "/api/v1/users/alice/disconnect", r#"{"code":1000}"#, 400, "1000"),
        ("POST", "/api/v1/users/alice/disconnect", r#"{"colour":1}"#, 400, "colour"),
        ("POST", "/api/v1/rooms/user:bob/members/alice", "", 403, "personal"),
        ("DELETE", "/api/v1/rooms/user:alice/members/alice", "", 403, "personal"),
        ("POST", "/api/v1/batch", r#"{"messages":[{"room":"a","from":"b","body":1,"x":1}]}"#, 400, "`x`"),
        (
            "POST",
            "/api/v1/batch",
            r#"{"messages":[{"room":"chat:a","from":"b","body":1},{"from":"b","body":1}]}"#,
            400,
            "`room`",
        ),
        ("POST", path, r#"{"room":"chat:a","from":"shop","body":1}"#, 400, "path"),
    ] {
        let (given, _, answer) = ask_as(&house, &service, method, path, body).await;
        assert_eq!(given, status, "{method} {path} {body}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(says), "{says}: {answer}");
    }
    let headers = format!("authorization: Bearer {service}\r\ncontent-type: text/plain\r\n");
    let (status, ..) = request(&house, "POST", path, &headers, r#"{"from":"shop","body":1}"#).await;
    assert_eq!(status, 415);
    assert_eq!(get(&house, path).await["messages"], json!([]), "nothing was sent");
}

#[tokio::test]
async fn a_batch_has_an_outcome_for_each_message() {
    let house = House::with(|plan| plan.limits.body_bytes_max = 1000);
    let mut alice = Client::enter(&house, "alice").await;
    alice.join("chat:a").await;
    let message = |room: &str, body: Value| json!({ "room": room, "from": "shop", "body": body });
    let messages = json!({ "messages": [
        message("chat:a", json!(1)),
        message("chat:a", json!("x".repeat(1000))),
        message("chat:b", json!(2)),
        { "room": "chat:a", "from": "shop", "body": 3, "id": "same" },
        { "room": "chat:a", "from": "shop", "body": 3, "id": "same" },
        { "room": "chat:a", "from": "shop", "body": 4, "volatile": true },
    ] });
    let (status, answer) = ask(&house, "POST", "/api/v1/batch", &messages).await;
    assert_eq!(status, 200);
    let outcomes = answer["outcomes"].as_array().unwrap();
    let told: Vec<(&Value, &Value, &Value)> = outcomes
        .iter()
        .map(|outcome| (&outcome["seq"], &outcome["duplicate"], &outcome["error"]["reason"]))
        .collect();
    let null = &Value::Null;
    assert_eq!(
        told,
        [
            (&json!(1), null, null),
            (null, null, &json!("too_large")),
            (&json!(1), null, null),
            (&json!(2), null, null),
            (&json!(2), &json!(true), null),
            // Where the room stands.
            (&json!(2), null, null),
        ]
    );
    assert_eq!(alice.bodies(2).await, [json!(1), json!(3)]);
    let volatile = alice.event().await.data;
    assert_eq!((&volatile["body"], &volatile["volatile"]), (&json!(4), &json!(true)));
    let many: Vec<Value> = (0..101).map(|_| json!({ "room": "c", "from": "s", "body": 1 })).collect();
    let (status, answer) = ask(&house, "POST", "/api/v1/batch", &json!({ "messages": many })).await;
    assert_eq!(status, 400, "{answer}");
    let (_, most) = ask(&house, "POST", "/api/v1/batch", &json!({ "messages": many[..100] })).await;
    assert_eq!(most["outcomes"][99]["seq"], 100, "none of the first, which was refused as a whole");
}

#[tokio::test]
async fn history_and_rooms_are_read_in_pages() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    alice.join("chat:a").await;
    for number in 1..=4 {
        alice.say("chat:a", number).await;
    }
    let binary = json!({ "room": "chat:a", "body": { "file": { "_placeholder": true, "num": 0 } } });
    let (answer, _) = alice.ask_with("message:send", &binary, &[b"xyz"]).await;
    assert_eq!(answer["ok"], true);
    let path = "/api/v1/rooms/chat%3Aa/messages";
    for (query, expected, more) in [
        ("", vec![1, 2, 3, 4, 5], false),
        ("?limit=2", vec![4, 5], true),
        ("?before=4&limit=2", vec![2, 3], true),
        ("?after=1&limit=2", vec![2, 3], true),
        ("?after=3", vec![4, 5], false),
    ] {
        let page = get(&house, &format!("{path}{query}")).await;
        assert_eq!((seqs(&page), &page["more"]), (expected, &json!(more)), "{query}");
    }
    let last = get(&house, &format!("{path}?limit=1")).await;
    assert_eq!(last["messages"][0]["body"], json!({ "file": { "$binary": "eHl6" } }));

    for room in ["chat:b", "chat:c", "d"] {
        let body = json!({ "from": "shop", "body": 1 });
        ask(&house, "POST", &format!("/api/v1/rooms/{room}/messages"), &body).await;
    }
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(&house, &format!("/api/v1/rooms?limit=2&cursor={}", cursor.replace(':', "%3A"))).await;
        let rooms = page["rooms"].as_array().unwrap();
        names.extend(rooms.iter().map(|room| room["room"].as_str().unwrap().to_owned()));
        let Some(next) = page["cursor"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    names.retain(|name| !name.starts_with("user:"));
    names.sort();
    assert_eq!(names, ["chat:a", "chat:b", "chat:c", "d"]);
}

#[tokio::test]
async fn presence_shows_whoever_lets_themselves_be_seen() {
    let house = House::with(|plan| {
        plan.tokens = turnpike_guard::Verifier::new(
            turnpike_guard::TokenKey::hs256(crate::house::SECRET).unwrap(),
            vec![crate::house::grant("chat:*=join,send,history,presence")],
        );
    });
    let mut clients = Vec::new();
    for user in ["alice", "bob", "carol", "dave"] {
        let mut client = Client::enter(&house, user).await;
        let joined = client.ask("room:join", &json!({ "room": "chat:a", "presence": true })).await;
        assert_eq!(joined["ok"], true, "{joined}");
        clients.push(client);
    }
    let hidden = clients[2].ask("presence:update", &json!({ "status": "invisible" })).await;
    assert_eq!(hidden["ok"], true);
    let path = "/api/v1/rooms/chat:a/presence";
    let users = |page: &Value| -> Vec<Value> {
        page["members"].as_array().unwrap().iter().map(|member| member["user"].clone()).collect()
    };
    // Three are there also before dave has come and carol has hidden.
    let page = until(&house, path, |page| users(page) == ["alice", "bob", "dave"]).await;
    assert_eq!((&page["count"], page.get("cursor")), (&json!(3), None));
    let page = get(&house, &format!("{path}?limit=2")).await;
    assert_eq!((users(&page), &page["cursor"]), (vec!["alice".into(), "bob".into()], &json!("bob")));
    let page = get(&house, &format!("{path}?limit=2&cursor=bob")).await;
    assert_eq!((users(&page), page.get("cursor")), (vec!["dave".into()], None));
    until(&house, "/api/v1/users/carol", |user| user["status"] == "invisible").await;
}

#[tokio::test]
async fn a_user_is_looked_up_and_sent_away() {
    let house = House::with(|plan| plan.recovery_window = std::time::Duration::ZERO);
    let nobody = get(&house, "/api/v1/users/alice").await;
    assert_eq!((&nobody["status"], &nobody["devices"]), (&json!("offline"), &json!([])));
    let mut alice = Client::enter(&house, "alice").await;
    let mut phone = Client::enter(&house, "alice").await;
    let mut bob = Client::enter(&house, "bob").await;
    for number in 1..=3 {
        let body = json!({ "from": "shop", "body": number });
        ask(&house, "POST", "/api/v1/rooms/user:alice/messages", &body).await;
    }
    assert_eq!(alice.bodies(3).await, [1, 2, 3]);
    assert_eq!(phone.bodies(3).await, [1, 2, 3]);
    let read = alice.ask("message:read", &json!({ "room": "user:alice", "seq": 2 })).await;
    assert_eq!(read["ok"], true);
    let user = until(&house, "/api/v1/users/alice", |user| {
        user["devices"].as_array().unwrap().len() == 2 && user["inbox"]["read"] == 2
    })
    .await;
    assert_eq!((&user["status"], &user["devices"][0]["status"]), (&json!("online"), &json!("online")));
    assert_eq!((&user["inbox"]["seq"], &user["inbox"]["unread"]), (&json!(3), &json!(1)), "{user}");

    let (status, _) = ask(&house, "POST", "/api/v1/users/alice/disconnect", &json!({ "code": 3503 })).await;
    assert_eq!(status, 202);
    for mut client in [alice, phone] {
        let mut codes = Vec::new();
        while let Some(event) = client.next_event().await {
            if event.name == "closing" {
                codes.push(event.data["code"].clone());
            }
        }
        assert_eq!(codes, [json!(3503)]);
    }
    bob.has_nothing_more().await;
    let (status, _) = ask(&house, "POST", "/api/v1/users/bob/disconnect", &json!({})).await;
    assert_eq!(status, 202);
    assert_eq!(bob.event().await.data["code"], 3502, "revoked, if nothing else is said");
}

#[tokio::test]
async fn members_are_brought_into_a_room_and_out_of_it() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    let path = "/api/v1/rooms/closed:a/messages";
    let say = async |body: &str| {
        ask(&house, "POST", path, &json!({ "from": "shop", "body": body })).await;
    };
    say("before").await;
    let (status, _) = ask(&house, "POST", "/api/v1/rooms/closed:a/members/alice", &Value::Null).await;
    assert_eq!(status, 202);
    house.until("the room is open here", |house| house.metric("turnpike_gateway_rooms", &[]) >= 2).await;
    say("within").await;
    assert_eq!(alice.message().await.1, "within");
    let (status, _) = ask(&house, "DELETE", "/api/v1/rooms/closed:a/members/alice", &Value::Null).await;
    assert_eq!(status, 202);
    house.until("the room is left", |house| house.metric("turnpike_gateway_rooms", &[]) <= 1).await;
    say("after").await;
    alice.has_nothing_more().await;
}

/// A house, what its broker is like, and how many publications it was asked for.
fn exposed(
    change: impl FnOnce(&mut crate::house::Plan),
) -> (House, watch::Sender<Weather>, watch::Receiver<usize>) {
    let (weather, (published, asked)) = (watch::Sender::new(Weather::Fine), watch::channel(0));
    let house = House::with(|plan| {
        plan.exposed = Some((weather.subscribe(), published));
        change(plan);
    });
    (house, weather, asked)
}

#[tokio::test]
async fn a_caller_that_hangs_up_has_sent_its_message_all_the_same() {
    let mut backend = Backend::start(&[]).await;
    let mut webhooks = backend.webhooks();
    webhooks.events = vec![WebhookEvent::MessageOffline];
    let (house, weather, mut asked) = exposed(|plan| plan.webhooks = vec![webhooks]);
    weather.send_replace(Weather::Slow);
    let service = of_role(Role::Service);
    let one = json!({ "from": "shop", "body": 1, "id": "one" });
    let other = json!({ "messages": [
        { "room": "chat:a", "from": "shop", "body": 2 },
        { "room": "user:carol", "from": "shop", "body": 3, "id": "three" },
    ] });
    for (count, path, body) in [(1, "/api/v1/rooms/user:bob/messages", one), (3, "/api/v1/batch", other)] {
        let mut stream = TcpStream::connect(house.address()).await.unwrap();
        let (body, length) = (body.to_string(), body.to_string().len());
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: gateway.test\r\nauthorization: Bearer {service}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let taken = asked.wait_for(|asked| *asked == count);
        tokio::time::timeout(BROKEN, taken).await.expect("it was asked for").unwrap();
        drop(stream);
        // From here on nobody waits for the answer.
        house
            .until("the connection is gone", |house| house.metric("turnpike_gateway_http_sockets", &[]) == 0)
            .await;
    }
    let stored = "turnpike_gateway_messages_total";
    assert_eq!(house.metric(stored, &["stored"]), 0);
    weather.send_replace(Weather::Fine);
    house.until("all are counted", |house| house.metric(stored, &["stored"]) == 3).await;
    let requests = "turnpike_gateway_api_requests_total";
    for operation in ["sendMessage", "sendBatch"] {
        house.until(operation, |house| house.metric(requests, &[operation, "200"]) == 1).await;
    }
    let mut events = backend.events(2).await;
    events.sort_by_key(|event| event["user"].to_string());
    let told: Vec<_> = events.iter().map(|event| (&event["user"], &event["message"]["id"])).collect();
    assert_eq!(told, [(&json!("bob"), &json!("one")), (&json!("carol"), &json!("three"))]);
    assert_eq!(seqs(&get(&house, "/api/v1/rooms/chat:a/messages").await), [1]);
}

#[tokio::test]
async fn while_the_cluster_is_away_callers_are_told_when_to_come_again() {
    let (house, weather, _asked) = exposed(|_| {});
    weather.send_replace(Weather::Away);
    let service = of_role(Role::Service);
    let message = json!({ "from": "shop", "body": 1, "id": "m1" });
    for (method, path, body) in [
        ("POST", "/api/v1/rooms/chat:a/messages", message.to_string()),
        ("GET", "/api/v1/rooms/chat:a/messages", String::new()),
        ("GET", "/api/v1/rooms", String::new()),
    ] {
        let (status, head, answer) = ask_as(&house, &service, method, path, &body).await;
        assert_eq!(status, 503, "{method} {path}: {answer}");
        assert!(head.contains("retry-after: 3\r\n"), "{head}");
        let error = &answer["error"];
        assert_eq!(
            (&error["reason"], &error["retryable"], &error["retry_after_ms"]),
            (&json!("unavailable"), &json!(true), &json!(2_500))
        );
    }
    let mut in_room = message.clone();
    in_room["room"] = "chat:a".into();
    let (status, answer) = ask(&house, "POST", "/api/v1/batch", &json!({ "messages": [in_room] })).await;
    let outcome = &answer["outcomes"][0];
    assert_eq!(
        (status, &outcome["ok"], &outcome["error"]["retry_after_ms"]),
        (200, &json!(false), &json!(2_500))
    );
    weather.send_replace(Weather::Fine);
    let (status, sent) = ask(&house, "POST", "/api/v1/rooms/chat:a/messages", &message).await;
    assert_eq!((status, &sent["seq"], &sent["duplicate"]), (200, &json!(1), &Value::Null));
}

#[tokio::test]
async fn streams_are_listed_and_ended() {
    let house = House::start();
    let service = of_role(Role::Service);
    let (status, _, answer) = ask_as(&house, &service, "GET", "/api/v1/streams", "").await;
    assert_eq!((status, &answer["streams"]), (200, &json!([])));
    let path = "/api/v1/streams/live%3Ashow";
    let (status, _, answer) = ask_as(&house, &service, "DELETE", path, "").await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!(120)));
    let relay = Relay::open(&house).await;
    for stream in ["live:show", "live:other"] {
        relay.claim(stream).await;
    }
    let (_, _, answer) = ask_as(&house, &service, "GET", "/api/v1/streams?limit=1", "").await;
    let listed = json!({ "stream": "live:other", "node": "n1", "since": 1, "publishers": 1, "viewers": 2 });
    assert_eq!(answer["streams"], json!([listed]));
    let next = format!("/api/v1/streams?cursor={}", answer["cursor"].as_str().unwrap());
    let (_, _, answer) = ask_as(&house, &service, "GET", &next, "").await;
    assert_eq!((&answer["streams"][0]["stream"], &answer["cursor"]), (&json!("live:show"), &Value::Null));
    relay.play();
    let (status, _, answer) = ask_as(&house, &service, "DELETE", path, "").await;
    assert_eq!((status, &answer["ok"]), (200, &json!(true)));
    // Recorded by backends, and by users whose tokens grant that of the stream.
    let of_user = |pattern: &str, can: &str| {
        let media = serde_json::from_value(json!([{ "match": pattern, "can": [can] }])).unwrap();
        signed(&Claims { media: Some(media), ..claims("alice") })
    };
    for method in ["POST", "DELETE"] {
        for (asker, status) in [
            (service.clone(), 200),
            (of_user("live:*", "record"), 200),
            (of_user("live:other", "record"), 403),
            (of_user("live:*", "publish"), 403),
        ] {
            let path = format!("{path}/recording");
            let (found, _, answer) = ask_as(&house, &asker, method, &path, "").await;
            assert_eq!(found, status, "{method}: {answer}");
            if status == 200 {
                let on = method == "POST";
                let expected = json!({ "ok": true, "stream": "live:show", "on": on, "recording": RECORDING });
                assert_eq!(answer, expected);
            }
        }
    }
    // That right is none to end it.
    let (status, _, _) = ask_as(&house, &of_user("live:*", "record"), "DELETE", path, "").await;
    assert_eq!(status, 403);
}
