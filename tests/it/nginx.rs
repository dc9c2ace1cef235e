//! The configurations of `nginx/`, as they stand but for names and ports: sound by `nginx -t`, and stock clients through them
//! over TLS.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use turnpike_lab::{Directory, Node, Process, shared};

use crate::harness::home;
use crate::roaming::{Pair, Roamers, Roaming, seed};

/// Reaching it means that something is broken.
const START_MAX: Duration = Duration::from_secs(20);

/// nginx with a configuration of ours, a certificate of its own, and ports that were free.
struct Edge {
    process: Process,
    directory: Directory,
    tls: u16,
    plain: u16,
    authority: PathBuf,
}

impl Edge {
    /// `servers`: names as they stand in the configuration, and where they are.
    fn start(file: &str, servers: &[(&str, SocketAddr)]) -> Self {
        let directory = Directory::new("nginx").unwrap();
        let root = directory.path().to_owned();
        fs::create_dir_all(root.join("snippets")).unwrap();
        let [tls, plain] = free_ports();
        let authority = certificate(&root);
        let source = home().join("../nginx");
        for name in [file.to_owned()].into_iter().chain(snippets(&source)) {
            let text = fs::read_to_string(source.join(&name)).unwrap();
            fs::write(root.join(&name), placed(&text, &root, servers, tls, plain)).unwrap();
        }
        let sound = nginx(&root, file).arg("-t").output().unwrap();
        assert!(sound.status.success(), "{}", said(&sound));
        let process = Process::spawn("nginx", nginx(&root, file).args(["-g", "daemon off;"])).unwrap();
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", tls)).is_err() {
            assert!(begun.elapsed() < START_MAX, "nginx does not listen: {}", log(&root));
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, directory, tls, plain, authority }
    }

    fn curl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--include", "--max-time", "20", "--cacert"]);
        command.arg(&self.authority).args(arguments).output().unwrap()
    }

    fn get(&self, path: &str) -> String {
        said(&self.curl(&[&format!("https://127.0.0.1:{}{path}", self.tls)]))
    }

    fn log(&self) -> String {
        log(self.directory.path())
    }
}

fn nginx(root: &Path, file: &str) -> Command {
    let mut command = Command::new(program());
    command.arg("-p").arg(root).arg("-c").arg(root.join(file)).arg("-e").arg(root.join("start.log"));
    command
}

/// It is an administrator's program, and not everybody has those in their path.
fn program() -> &'static str {
    if Path::new("/usr/sbin/nginx").is_file() { "/usr/sbin/nginx" } else { "nginx" }
}

fn snippets(source: &Path) -> Vec<String> {
    let files = fs::read_dir(source.join("snippets")).unwrap();
    files.map(|file| format!("snippets/{}", file.unwrap().file_name().to_str().unwrap())).collect()
}

/// What an operator puts in: names, ports, the certificate. And what the tests' machine has less of.
fn placed(text: &str, root: &Path, servers: &[(&str, SocketAddr)], tls: u16, plain: u16) -> String {
    let root = root.to_str().unwrap();
    let mut text = text
        .replace("/etc/turnpike/tls", root)
        .replace("/var/log/nginx/", &format!("{root}/"))
        .replace("listen 443 ", &format!("listen 127.0.0.1:{tls} "))
        .replace("listen 80;", &format!("listen 127.0.0.1:{plain};"))
        .replace("worker_rlimit_nofile 200000", "worker_rlimit_nofile 10000")
        .replace("worker_connections 100000", "worker_connections 4000")
        .replace("worker_processes auto;", &format!("worker_processes 1; pid {root}/nginx.pid; user root;"))
        .replace("rate=50r/s", "rate=1000r/s")
        // As the nodes of these tests are called.
        .replace("~^gateway-", "~^n");
    text = text.lines().filter(|line| !line.contains("listen [::]")).collect::<Vec<_>>().join("\n");
    for (name, address) in servers {
        text = text.replace(name, &address.to_string());
    }
    assert!(!text.contains(".internal:"), "a server has no address: {text}");
    text
}

fn free_ports() -> [u16; 2] {
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

/// Signed by itself; gives the file by which it is trusted.
fn certificate(root: &Path) -> PathBuf {
    let (key, certificate) = (root.join("privkey.pem"), root.join("fullchain.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    certificate
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn log(root: &Path) -> String {
    ["start.log", "turnpike-error.log", "turnpike.json"]
        .map(|file| fs::read_to_string(root.join(file)).unwrap_or_default())
        .concat()
}

fn must_be_exact(report: &Value, edge: &Edge) {
    println!("{report}");
    for kind in ["faults", "missing", "refused"] {
        assert_eq!(report[kind], json!([]), "{report}\n{}", edge.log());
    }
    assert_eq!(report["fresh"], 0, "every return is a recovery: {report}");
    assert!(report["recovered"].as_u64().unwrap() > 0, "{report}");
    assert!(report["messages"].as_u64().unwrap() > 300, "{report}");
}

fn roam(pair: &Pair, edge: &Edge) {
    for transports in ["polling", "polling,websocket", "websocket"] {
        let plan =
            Roaming { receivers: 6, seconds: 6, transports, offline_ms: 300, seed: seed(), record: None };
        must_be_exact(&Roamers::over_tls(pair, edge.tls, &edge.authority, &plan).report(), edge);
    }
}

fn is_an_edge(edge: &Edge) {
    let page = edge.get("/api/v1/info/health");
    assert!(page.starts_with("HTTP/2 200"), "{page}");
    assert!(page.to_ascii_lowercase().contains("strict-transport-security: max-age="), "{page}");
    assert!(!page.to_ascii_lowercase().contains("server: nginx/"), "it does not say its version: {page}");
    let plain = said(&edge.curl(&[&format!("http://127.0.0.1:{}/x?y=1", edge.plain)]));
    assert!(plain.starts_with("HTTP/1.1 301") && plain.contains("https://127.0.0.1/x?y=1"), "{plain}");
    let old = edge.curl(&["--tls-max", "1.1", &format!("https://127.0.0.1:{}/", edge.tls)]);
    assert!(!old.status.success(), "TLS 1.1 is refused: {}", said(&old));
    let large = format!("@{}", edge.directory.path().join("large").display());
    fs::write(edge.directory.path().join("large"), vec![b'x'; 2_000_000]).unwrap();
    let url = format!("https://127.0.0.1:{}/socket.io/?EIO=4&transport=polling&sid=n1.0.x", edge.tls);
    let refused = said(&edge.curl(&["--data-binary", &large, &url]));
    assert!(refused.starts_with("HTTP/2 413"), "{refused}");
    // Somebody without a token is refused by a relay, not by the edge.
    let whip = format!("https://127.0.0.1:{}/whip/live:1", edge.tls);
    let whip = said(&edge.curl(&["--data", "v=0", "--header", "content-type: application/sdp", &whip]));
    assert!(whip.starts_with("HTTP/2 401"), "{whip}");
    // Lines are written when the buffer's time is over.
    let begun = Instant::now();
    while !edge.log().contains("/api/v1/info/health") {
        assert!(begun.elapsed() < START_MAX, "{}", edge.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let lines = fs::read_to_string(edge.directory.path().join("turnpike.json")).unwrap();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["status"].is_u64() && line["address"] == "127.0.0.1", "{line}");
    }
    assert!(!lines.contains("sid="), "a session's id is a secret");
}

#[test]
fn stock_clients_through_nginx_and_a_router() {
    let pair = Pair::start(&[("TURNPIKE_TRUSTED_PROXIES", "127.0.0.1")]);
    let seeds = shared().seeds_text();
    let environment = [
        ("REDIS_NODES", &*seeds),
        ("TURNPIKE_REDIS_PREFIX", &*pair.prefix),
        ("TURNPIKE_TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let routers = [(); 2].map(|()| Node::start_router(&environment).unwrap());
    let servers =
        [("router-1.internal:3000", routers[0].gateway), ("router-2.internal:3000", routers[1].gateway)];
    let mut edge = Edge::start("nginx.conf", &servers);
    is_an_edge(&edge);
    roam(&pair, &edge);
    assert!(edge.process.is_running(), "{}", edge.log());
}

#[test]
fn stock_clients_through_nginx_alone() {
    let pair = Pair::start(&[("TURNPIKE_TRUSTED_PROXIES", "127.0.0.1")]);
    let [one, two] = [&pair.nodes[0], &pair.nodes[1]].map(|node| node.gateway);
    let servers = [("gateway-1.internal:3010", one), ("gateway-2.internal:3010", two)];
    let mut edge = Edge::start("sticky.conf", &servers);
    is_an_edge(&edge);
    roam(&pair, &edge);
    assert!(edge.process.is_running(), "{}", edge.log());
}
