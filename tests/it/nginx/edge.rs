//! nginx with a configuration of ours, a certificate of its own, and ports that were free.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use turnpike_lab::{Directory, Node, shared};

use crate::harness::{home, ports};
use crate::roaming::Pair;
use crate::router::until_seen;

/// Reaching it means that something is broken.
pub const BROKEN: Duration = Duration::from_secs(30);

/// Lives as long as this process holds its standard input, however this process ends; and then everything in its group ends,
/// which a master's workers are part of. They would outlive a master that is killed.
const KEEPER: &str = r#""$@" </dev/null >/dev/null 2>&1 & read -r _; kill -KILL 0"#;

pub struct Edge {
    keeper: Child,
    directory: Directory,
    pub tls: u16,
    pub plain: u16,
    pub authority: PathBuf,
}

/// Which of the configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `nginx.conf`
    WithRouters,
    /// `sticky.conf`
    Alone,
}

impl Kind {
    pub fn file(self) -> &'static str {
        match self {
            Self::WithRouters => "nginx.conf",
            Self::Alone => "sticky.conf",
        }
    }
}

/// Nodes, what stands in front of them, and nginx before that.
pub struct House {
    pub pair: Pair,
    pub routers: Vec<Node>,
    pub edge: Edge,
}

impl House {
    pub fn start(kind: Kind) -> Self {
        Self::with(kind, Processes::One, &[], &[])
    }

    /// `changes` of the configuration, and `environment` of the nodes.
    pub fn with(
        kind: Kind,
        processes: Processes,
        changes: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Self {
        let trusting = [("TURNPIKE_TRUSTED_PROXIES", "127.0.0.1")];
        let of_nodes: Vec<(&str, &str)> = trusting.into_iter().chain(environment.iter().copied()).collect();
        let pair = Pair::start(&of_nodes);
        let seeds = shared().seeds_text();
        let of_routers = [
            ("REDIS_NODES", &*seeds),
            ("TURNPIKE_REDIS_PREFIX", &*pair.prefix),
            ("TURNPIKE_TRUSTED_PROXIES", "127.0.0.1"),
            // All of a test come from one address.
            ("TURNPIKE_ROUTER_HANDSHAKES_PER_ADDRESS", "100000"),
        ];
        let routers: Vec<Node> = match kind {
            Kind::WithRouters => [(); 2].map(|()| Node::start_router(&of_routers).unwrap()).into(),
            Kind::Alone => Vec::new(),
        };
        let [one, two] = [&pair.nodes[0], &pair.nodes[1]].map(|node| node.gateway);
        let mut servers = vec![
            ("gateway-1.internal:3010", one),
            ("gateway-2.internal:3010", two),
            ("relay-1.internal:3020", one),
            ("relay-2.internal:3020", two),
        ];
        if let [one, two] = &*routers {
            servers = vec![("router-1.internal:3000", one.gateway), ("router-2.internal:3000", two.gateway)];
        }
        let edge = Edge::start(kind, processes, &servers, changes);
        let house = Self { pair, routers, edge };
        house.is_served();
        house
    }

    /// Routers have to hear of the nodes first, all of them of each.
    fn is_served(&self) {
        until_seen(&self.routers, self.pair.nodes.len());
        let begun = Instant::now();
        while !self.edge.get("/api/v1/info/health").starts_with("HTTP/2 200") {
            assert!(begun.elapsed() < BROKEN, "{}", self.edge.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processes {
    One,
    /// As an operator has it, which is what a reload needs.
    MasterAndWorker,
}

impl Edge {
    /// `servers`: names as they stand in the configuration, and where they are. `changes`: lines of it that this test wants
    /// otherwise.
    pub fn start(
        kind: Kind,
        processes: Processes,
        servers: &[(&str, SocketAddr)],
        changes: &[(&str, &str)],
    ) -> Self {
        let directory = Directory::new("nginx").unwrap();
        let root = directory.path().to_owned();
        let [tls, plain] = ports::own();
        let address = |name: &str| {
            let found = servers.iter().find(|(known, _)| *known == name);
            found.unwrap_or_else(|| panic!("nobody is {name}")).1.to_string()
        };
        let authority = laid_out(kind, &root, &address, [tls, plain], changes);
        let sound = nginx(&root, kind).arg("-t").output().unwrap();
        assert!(sound.status.success(), "{}", said(&sound));
        let mut command = nginx(&root, kind);
        command.args([
            "-g",
            if processes == Processes::One { "daemon off; master_process off;" } else { "daemon off;" },
        ]);
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let edge = Self { keeper, directory, tls, plain, authority };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", tls)).is_err() {
            assert!(begun.elapsed() < BROKEN, "nginx does not listen: {}", edge.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        edge
    }

    /// What nginx says of a configuration that it does not run.
    pub fn check(kind: Kind) -> Output {
        let directory = Directory::new("nginx").unwrap();
        let root = directory.path();
        let _ = laid_out(kind, root, &|name| format!("127.0.0.1:{}", name.len()), ports::own(), &[]);
        nginx(root, kind).arg("-t").output().unwrap()
    }

    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    /// An answer with its head, or what curl says.
    pub fn curl(&self, arguments: &[&str]) -> String {
        said(&self.curl_output(arguments))
    }

    pub fn curl_output(&self, arguments: &[&str]) -> Output {
        self.curl_command(arguments).output().unwrap()
    }

    fn curl_command(&self, arguments: &[&str]) -> Command {
        // What has come of an answer without an end is to be told at once.
        let mut command = Command::new("stdbuf");
        command.args(["--output=0", "curl"]);
        // The name that is in the certificate, wherever it leads.
        let resolve = format!("localhost:{}:127.0.0.1", self.tls);
        command.args(["--silent", "--show-error", "--include", "--max-time", "20", "--resolve", &resolve]);
        command.arg("--cacert").arg(&self.authority).args(arguments);
        command
    }

    /// The answer to whoever asks for a websocket: the head of an agreement, behind which nothing ends, or all of a refusal.
    pub fn upgrade(&self, arguments: &[&str]) -> String {
        let mut command = self.curl_command(arguments);
        command.args(["--http1.1", "--header", "connection: upgrade"]);
        command.args(["--header", "sec-websocket-version: 13"]);
        command.args(["--header", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="]);
        let mut curl = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(curl.stdout.take().unwrap());
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") && lines.read_line(&mut answer).unwrap() > 0 {}
        if !answer.starts_with("HTTP/1.1 101") {
            lines.read_to_string(&mut answer).unwrap();
        }
        let _ = curl.kill();
        let _ = curl.wait();
        answer
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.tls)
    }

    pub fn get(&self, path: &str) -> String {
        self.curl(&[&self.url(path)])
    }

    /// A connection over TLS for bytes that no client would send.
    pub fn connect(&self) -> Line {
        self.connect_for("http/1.1")
    }

    fn connect_for(&self, protocol: &str) -> Line {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-alpn", protocol, "-servername", "localhost", "-connect"]);
        command.arg(format!("127.0.0.1:{}", self.tls)).arg("-CAfile").arg(&self.authority);
        Line(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Everything that is answered to these bytes until nginx closes.
    pub fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut line = self.connect();
        line.send(bytes);
        line.rest()
    }

    /// The same to bytes of HTTP/2.
    pub fn raw_h2(&self, bytes: &[u8]) -> String {
        let mut line = self.connect_for("h2");
        line.send(bytes);
        line.rest()
    }

    /// What was said at start, the faults, and the requests.
    pub fn log(&self) -> String {
        let files = ["start.log", "turnpike-error.log", "turnpike.json"];
        files.map(|file| fs::read_to_string(self.root().join(file)).unwrap_or_default()).concat()
    }

    /// What this configuration says to its master.
    pub fn signal(&self, name: &str) {
        let id = fs::read_to_string(self.root().join("nginx.pid")).unwrap();
        let sent = Command::new("kill").args(["-s", name, id.trim()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// One connection.
pub struct Line(Child);

impl Line {
    /// It may have been closed already.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let stdin = self.0.stdin.as_mut().unwrap();
        let _ = stdin.write_all(bytes.as_ref()).and_then(|()| stdin.flush());
    }

    /// Up to its end, which has to come.
    pub fn rest(mut self) -> String {
        let mut stdout = self.0.stdout.take().unwrap();
        let (read, awaited) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stdout.read_to_end(&mut bytes);
            let _ = read.send(bytes);
        });
        let bytes = awaited.recv_timeout(BROKEN).expect("the connection ends");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn is_open(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn nginx(root: &Path, kind: Kind) -> Command {
    let mut command = Command::new(program());
    command.arg("-p").arg(root).arg("-c").arg(root.join(kind.file())).arg("-e").arg(root.join("start.log"));
    command
}

/// It is an administrator's program, and not everybody has those in their path.
fn program() -> &'static str {
    if Path::new("/usr/sbin/nginx").is_file() { "/usr/sbin/nginx" } else { "nginx" }
}

pub fn source() -> PathBuf {
    home().join("../nginx")
}

fn files(kind: Kind) -> Vec<String> {
    let snippets = fs::read_dir(source().join("snippets")).unwrap();
    let snippets = snippets.map(|file| format!("snippets/{}", file.unwrap().file_name().to_str().unwrap()));
    [kind.file().to_owned()].into_iter().chain(snippets).collect()
}

/// The configuration in a folder of this test's: with what an operator puts in, which is names, addresses, ports and the
/// certificate, and less of what the tests' machine has less of. Gives the file by which the certificate is trusted.
fn laid_out(
    kind: Kind,
    root: &Path,
    address: &dyn Fn(&str) -> String,
    [tls, plain]: [u16; 2],
    changes: &[(&str, &str)],
) -> PathBuf {
    fs::create_dir_all(root.join("snippets")).unwrap();
    let mut unmade: Vec<&str> = changes.iter().map(|(from, _)| *from).collect();
    for name in files(kind) {
        let mut text = fs::read_to_string(source().join(&name)).unwrap();
        for (from, to) in changes {
            unmade.retain(|unmade| unmade != from || !text.contains(from));
            text = text.replace(from, to);
        }
        let root_text = root.to_str().unwrap();
        let text = text
            .replace("/etc/turnpike/tls", root_text)
            .replace("/var/log/nginx/", &format!("{root_text}/"))
            .replace("listen 443 ", &format!("listen 127.0.0.1:{tls} "))
            .replace("listen 80", &format!("listen 127.0.0.1:{plain}"))
            .replace("worker_rlimit_nofile 200000", "worker_rlimit_nofile 10000")
            .replace("worker_connections 100000", "worker_connections 4000")
            .replace("worker_processes auto;", &format!("worker_processes 1; pid {root_text}/nginx.pid;"))
            .replace("realtime.example.com", "localhost")
            // As the nodes of these tests are called.
            .replace("~^gateway-", "~^n");
        let lines = text.lines().filter(|line| !line.contains("listen [::]"));
        let lines: Vec<String> = lines.map(|line| addressed(line, address)).collect();
        fs::write(root.join(&name), lines.join("\n")).unwrap();
    }
    assert!(unmade.is_empty(), "the configuration has no {unmade:?}");
    certificate(root)
}

/// A line of an upstream, with an address in the place of a name.
fn addressed(line: &str, address: &dyn Fn(&str) -> String) -> String {
    let name = line.trim_start().strip_prefix("server ").and_then(|rest| rest.split([' ', ';']).next());
    match name.filter(|name| name.contains(".internal:")) {
        Some(name) => line.replace(name, &address(name)),
        None => line.to_owned(),
    }
}

/// Signed by itself; gives the file by which it is trusted.
fn certificate(root: &Path) -> PathBuf {
    let (key, certificate) = (root.join("privkey.pem"), root.join("fullchain.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    openssl.args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    let made = openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    certificate
}

pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
