//! Nobody fills the audit log: what anybody can bring about as often as they like is few records, however often it is, and
//! whoever goes on with it is kept out like anybody else who misbehaves.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;
use turnpike_lab::{Directory, Node};

use crate::harness::turnpike::signed;

/// Past it something is broken.
const BROKEN: Duration = Duration::from_mins(1);

fn node(log: &Path, more: &[(&str, &str)]) -> Node {
    let log = [("AUDIT_DIR", log.to_str().unwrap()), ("TURNPIKE_ADDRESS_EXEMPT", "192.0.2.0/24")];
    Node::start(&[&log[..], more].concat()).unwrap()
}

fn count(log: &Path, kind: &str) -> usize {
    let (class, activity) = kind.split_once('.').unwrap();
    let (class, activity) = (format!("\"class\":\"{class}\""), format!("\"activity\":\"{activity}\""));
    let files = std::fs::read_dir(log).unwrap().flatten();
    let text: String = files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default()).collect();
    text.lines().filter(|line| line.contains(&class) && line.contains(&activity)).count()
}

/// The status, or none if it was closed unread.
fn ask(node: SocketAddr, line: &str, headers: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(node).ok()?;
    stream.set_read_timeout(Some(BROKEN)).ok()?;
    write!(stream, "{line} HTTP/1.1\r\nHost: a\r\n{headers}Connection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.get(9..12)?.parse().ok()
}

fn unix() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn who_has_no_token_or_one_of_yesterday_is_few_records_and_is_kept_out_in_the_end() {
    let directory = Directory::new("filling").unwrap();
    let old = signed(&serde_json::json!({ "sub": "alice", "iat": unix() - 7_200, "exp": unix() - 3_600 }));
    let old = format!("Authorization: Bearer {old}\r\n");
    for (name, headers) in [("nothing", ""), ("old", old.as_str())] {
        let log = directory.path().join(name);
        let more =
            [("TURNPIKE_ADDRESS_FAILURES_PER_SECOND", "1"), ("TURNPIKE_ADDRESS_FAILURES_BURST", "100")];
        let node = node(&log, &more);
        let polling = "GET /socket.io/?EIO=4&transport=polling";
        assert_eq!(ask(node.gateway, polling, ""), Some(200));
        let begun = Instant::now();
        let mut asked = 0;
        while ask(node.gateway, "GET /api/v1/info/monitoring", headers) == Some(401) {
            asked += 1;
            assert!(begun.elapsed() < BROKEN, "{name}: on and on");
        }
        // The burst, and then five hundred signals of 0.2: a ban. Each second gives one of the burst back, and takes some of what
        // the signals weigh.
        let most = 700 + 10 * begun.elapsed().as_secs();
        assert!((500..most).contains(&asked), "{name}: {asked}");
        assert_eq!(ask(node.gateway, polling, ""), None, "{name}: banned");
        let records = count(&log, "authentication.login_failed");
        assert!(
            (1..=1 + begun.elapsed().as_secs() as usize / 5).contains(&records),
            "{name}: {records} records"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_does_that_has_to_be_written_first_has_a_limit() {
    let directory = Directory::new("filling").unwrap();
    let log = directory.path().join("audit");
    let node = node(&log, &[("TURNPIKE_RATE_RECORDED", "1/5"), ("TURNPIKE_DEFAULT_GRANTS", "open:*=join")]);
    let token = node.token(&["--user", "alice"]).unwrap();
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{}/ws", node.gateway)).await.unwrap();
    let mut id = 0;
    let mut ask = async |event: &str, data: Value| -> Value {
        id += 1;
        let frame = serde_json::json!({ "id": id, "event": event, "data": data });
        socket.send(Message::text(frame.to_string())).await.unwrap();
        loop {
            let came = tokio::time::timeout(BROKEN, socket.next()).await.expect("an answer in time");
            let Some(Ok(Message::Text(text))) = came else { panic!("{came:?}") };
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame["id"] == id && frame.get("event").is_none() {
                return frame;
            }
        }
    };
    let entered = ask("connect", serde_json::json!({ "token": token })).await;
    assert_eq!(entered["ok"], true, "{entered}");
    let begun = Instant::now();
    let mut refused = 0;
    for _ in 0..50 {
        let answer = ask("auth:refresh", serde_json::json!({ "token": token })).await;
        if answer["ok"] != true {
            assert_eq!(answer["error"]["code"], 108, "{answer}");
            refused += 1;
        }
    }
    let passed = 6 + begun.elapsed().as_secs() as usize;
    assert!(refused >= 50 - passed, "{refused} of 50");
    assert!(count(&log, "authentication.refreshed") <= passed);
    // A room that is asked for again and again is one denial with its count.
    for _ in 0..200 {
        assert_eq!(ask("room:join", serde_json::json!({ "room": "secret:a" })).await["error"]["code"], 106);
    }
    while count(&log, "authorization.denied") == 0 {
        assert!(begun.elapsed() < BROKEN, "it is not on record");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let denied = count(&log, "authorization.denied");
    assert!((1..=1 + begun.elapsed().as_secs() as usize / 5).contains(&denied), "{denied} records");
}
