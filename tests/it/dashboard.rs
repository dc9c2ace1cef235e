//! The dashboard in a real browser, as an operator uses it: figures of two nodes that move and agree with their metrics, a user
//! who is found, banned and let in again, nodes that are drained; and whether all that can be done without eyes or a mouse.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use turnpike_lab::{Node, SECRET};

use crate::harness::script::seen;
use crate::harness::turnpike::{Turnpike, signed};
use crate::roaming::Pair;

const PAGE_BYTES_MAX: u64 = 100_000;
/// Reaching it means that something is broken.
const BROKEN: Duration = Duration::from_mins(1);

#[test]
fn an_operator_watches_bans_and_drains() {
    let mut pair = Pair::start(&[("TURNPIKE_DRAIN_WINDOW", "3s")]);
    let joined = |of: fn(&Node) -> SocketAddr| {
        pair.nodes.iter().map(|node| format!("http://{}", of(node))).collect::<Vec<_>>().join(",")
    };
    let (gateways, admins) = (joined(|node| node.gateway), joined(|node| node.admin));
    let mut options = vec![("gateways", gateways), ("admins", admins), ("secret", SECRET.to_owned())];
    // Where somebody wants to look at them.
    if let Ok(folder) = std::env::var("TURNPIKE_PICTURES") {
        options.push(("pictures", folder));
    }
    let told = seen("dashboard.mjs", &options);
    assert!(told.iter().all(|line| line["fault"].is_null()), "{told:#?}");
    let steps: Vec<_> = told.iter().map(|line| line["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["door", "numbers", "ban", "deeds", "lift", "past", "elsewhere", "drain"]);
    for line in &told {
        assert_eq!(line["faults"], json!([]), "{line:#}");
    }
    let [door, numbers, ban, deeds, lift, past, elsewhere, drain] = told.as_slice() else {
        unreachable!("counted above")
    };
    assert!(door["bytes"].as_u64().unwrap() <= PAGE_BYTES_MAX, "{door}");
    assert!(!door["refused"].as_str().unwrap().is_empty(), "{door}");
    assert!(numbers["connections"].as_u64() >= Some(7), "{numbers}");
    assert_eq!(numbers["moved"], true, "{numbers}");
    assert_eq!(numbers["states"], json!(["healthy", "healthy"]), "{numbers}");
    assert_eq!((&ban["still"], &ban["code"]), (&json!(true), &json!(3503)), "{ban}");
    let record = ban["record"].as_array().unwrap();
    assert!(record.iter().any(|line| line.as_str().unwrap().contains("joined chat:lobby")), "{ban}");
    assert_eq!(deeds["followed"], "User user-0", "whoever follows a link by keyboard is at what it led to");
    assert!(deeds["disconnected"].is_u64() && deeds["revoked"].is_u64(), "{deeds}");
    assert!(deeds["stream"].as_str().unwrap().contains("1 publishing"), "{deeds}");
    assert!(deeds["banned"].as_str().unwrap().contains("You are banned"), "the demo page says so: {deeds}");
    assert_eq!(lift["came"], true, "{lift}");
    // What an operator looked at and did, by name.
    let records = lift["records"].as_array().unwrap();
    for deed in ["POST bans", "POST users/", "POST revocations", "GET inspect/"] {
        assert!(records.iter().any(|row| row.as_str().unwrap().contains(deed)), "{deed}: {records:#?}");
    }
    assert!(past["past"].as_u64() >= Some(2), "before anybody looked: {past}");
    assert_eq!(past["address"], "dashboard", "the token does not stay in the history");
    assert!(elsewhere["question"].as_str().unwrap().contains("moved to the other nodes"), "{elsewhere}");
    assert_eq!((&elsewhere["isHere"], &elsewhere["code"]), (&json!(true), &json!(3001)), "{elsewhere}");
    assert_eq!(
        elsewhere["place"], "nodes",
        "whoever was at the button of a node that left is among the others"
    );
    assert_eq!(elsewhere["status"], "live", "the page is of the other node: {elsewhere}");
    assert!(elsewhere["record"].as_str().unwrap().contains("oscar"), "{elsewhere}");
    assert!(drain["alone"].as_str().unwrap().contains("the only node"), "{drain}");
    for node in &mut pair.nodes {
        assert!(node.wait(BROKEN).unwrap().success(), "a drained node leaves in order: {}", node.log());
    }
}

/// Anybody may have the page; nobody without a token of the role `admin` is told anything.
#[test]
fn the_page_says_nothing_and_the_figures_are_for_admins() {
    let turnpike = Turnpike::start(&[]);
    let admin = format!("http://{}", turnpike.admin);
    let asking = |path: &str, token: Option<&str>| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-i", "-m", "60", "--no-buffer", &format!("{admin}{path}")]);
        if let Some(token) = token {
            curl.args(["-H", &format!("Authorization: Bearer {token}")]);
        }
        curl
    };
    let ask = |path: &str, token: Option<&str>| {
        String::from_utf8(asking(path, token).output().unwrap().stdout).unwrap().to_ascii_lowercase()
    };
    let page = ask("/dashboard", None);
    assert!(page.starts_with("http/1.1 200") && page.contains("default-src 'none'"), "{page}");
    assert!(ask("/admin/v1/live", None).starts_with("http/1.1 401"));
    let user = turnpike.token(&["--user", "ursula"]);
    assert!(ask("/admin/v1/live", Some(&user)).starts_with("http/1.1 403"));
    let service = turnpike.token(&["--user", "sue", "--role", "service"]);
    assert!(ask("/admin/v1/live", Some(&service)).starts_with("http/1.1 403"));
    let operator = turnpike.token(&["--user", "oscar", "--role", "admin"]);
    let mut watching = asking("/admin/v1/live", Some(&operator)).stdout(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(watching.stdout.take().unwrap()).lines().map_while(Result::ok);
    let status = told.next().unwrap_or_default();
    assert!(status.starts_with("HTTP/1.1 200"), "{status}");
    assert!(told.any(|line| line.contains("\"connections\"")), "it ended without figures");
    watching.kill().unwrap();
    watching.wait().unwrap();
    // It ends with its token, whoever holds on to it.
    let expires = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 600;
    let claims = json!({ "sub": "oscar", "role": "admin", "jti": "to-be-called-back", "exp": expires });
    let mut curl = Command::new("curl");
    curl.args(["-s", "-m", "60", "--no-buffer", &format!("{admin}/admin/v1/live"), "-H"]);
    let watching = curl.arg(format!("Authorization: Bearer {}", signed(&claims)));
    let mut watching = watching.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    lines.next().expect("a first line").unwrap();
    let mut curl = Command::new("curl");
    curl.args([
        "-s",
        "-f",
        &format!("{admin}/admin/v1/revocations"),
        "-d",
        r#"{"token":"to-be-called-back"}"#,
    ]);
    curl.args(["-H", "Content-Type: application/json", "-H", &format!("Authorization: Bearer {operator}")]);
    assert!(curl.output().unwrap().status.success());
    let began = Instant::now();
    assert!(lines.count() < 10 && began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(watching.wait().unwrap().success(), "the answer has an end");
}
