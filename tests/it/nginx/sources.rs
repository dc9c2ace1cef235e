//! Whose a request is, through all that stands in front of a node: who connects to nginx, whatever they say of themselves; or who a
//! proxy in front of it says, if it is one of ours. Whoever is denied shows whom a request was taken for.

use std::path::Path;

use super::edge::{BROKEN, House, Kind, Processes};

/// Machines of this one.
const PROXY: &str = "127.0.0.3";
const STRANGER: &str = "127.0.0.4";
const DENIED: &str = "127.0.0.66";

/// Every way in.
const PATHS: [&str; 5] =
    ["/socket.io/?EIO=4&transport=polling", "/ws", "/api/v1/info/health", "/whep/live:1", "/"];

fn refused(house: &House, from: &str, path: &str, headers: &[&str]) -> bool {
    let url = house.edge.url(path);
    let mut arguments = vec!["--interface", from, &*url];
    for header in headers {
        arguments.extend(["--header", header]);
    }
    let answer = if path == "/ws" {
        arguments.extend(["--header", "upgrade: websocket"]);
        house.edge.upgrade(&arguments)
    } else {
        house.edge.curl(&arguments)
    };
    let status = answer.split(' ').nth(1).unwrap_or_default();
    assert!(["101", "200", "401", "403", "404"].contains(&status), "{path} {headers:?}: {answer}");
    if status == "403" {
        assert!(answer.contains("\"address\""), "{path} {headers:?}: {answer}");
    }
    status == "403"
}

fn true_addresses_arrive(kind: Kind) {
    let denied = [("TURNPIKE_ADDRESS_DENY", "203.0.113.66,127.0.0.66"), ("AUDIT_DIR", "audit")];
    let ours = [("# set_real_ip_from 192.0.2.0/24;", "set_real_ip_from 127.0.0.3;")];
    let house = House::with(kind, Processes::One, &ours, &denied);
    for path in PATHS {
        let refused = |from: &str, headers: &[&str]| refused(&house, from, path, headers);
        assert!(!refused(STRANGER, &[]), "{path}");
        assert!(refused(DENIED, &[]), "{path}");
        // What a stranger says of itself is worth nothing, in whichever words.
        for said in [
            "x-forwarded-for: 203.0.113.66",
            "x-forwarded-for: 203.0.113.66, 127.0.0.3",
            "forwarded: for=203.0.113.66",
            "x-real-ip: 203.0.113.66",
            "true-client-ip: 203.0.113.66",
            "x_forwarded_for: 203.0.113.66",
        ] {
            assert!(!refused(STRANGER, &[said]), "{path} {said}");
        }
        // Nor does it help who is denied.
        for said in ["x-forwarded-for: 127.0.0.4", "forwarded: for=127.0.0.4", "x-forwarded-for: 127.0.0.1"] {
            assert!(refused(DENIED, &[said]), "{path} {said}");
        }
        // The proxy speaks for others, and what was said to it counts for nothing.
        assert!(refused(PROXY, &["x-forwarded-for: 203.0.113.66"]), "{path}");
        assert!(refused(PROXY, &["x-forwarded-for: 198.51.100.7, 203.0.113.66"]), "{path}");
        assert!(!refused(PROXY, &["x-forwarded-for: 203.0.113.66, 198.51.100.7"]), "{path}");
        assert!(!refused(PROXY, &["forwarded: for=203.0.113.66", "x-forwarded-for: 198.51.100.7"]), "{path}");
    }
    let records = || {
        let places = house.pair.nodes.iter().map(|node| format!("/proc/{}/cwd/audit", node.id()));
        places.map(|place| texts(Path::new(&place))).collect::<String>()
    };
    let known =
        || [DENIED, "203.0.113.66"].iter().all(|address| records().contains(&format!("\"{address}\"")));
    let begun = std::time::Instant::now();
    while !known() {
        assert!(begun.elapsed() < BROKEN, "the audit log has another address: {}", records());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(house.edge.get("/").starts_with("HTTP/2"), "it lives");
}

fn texts(path: &Path) -> String {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let texts = entries.map(|entry| {
        if entry.is_dir() {
            return texts(&entry);
        }
        String::from_utf8_lossy(&std::fs::read(&entry).unwrap()).into_owned()
    });
    texts.collect()
}

#[test]
fn through_nginx_and_routers_the_client_is_who_connects() {
    true_addresses_arrive(Kind::WithRouters);
}

#[test]
fn through_nginx_alone_the_client_is_who_connects() {
    true_addresses_arrive(Kind::Alone);
}
