//! The services of the file as processes, in the order in which they wait for each other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use turnpike_lab::{Directory, Guardian, Process, turnpike};

use super::BROKEN;
use super::compose::{Compose, Service};
use super::place::Place;
use crate::harness::{home, ports};

/// Others are images that tests have nothing of.
const KINDS: [(&str, Kind); 3] =
    [("redis:", Kind::Redis), ("turnpike:", Kind::Turnpike), ("nginx:", Kind::Nginx)];
const ADMIN_PORT: u16 = 3011;
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Redis,
    Turnpike,
    Nginx,
}

pub struct System {
    compose: Compose,
    places: BTreeMap<String, Place>,
    processes: BTreeMap<String, Process>,
    /// The repository's files of a deployment, as an operator would copy them.
    files: PathBuf,
    /// Of the edge: with TLS, and without.
    ports: [u16; 2],
    // Behind the processes.
    _guardian: Guardian,
    _directory: Directory,
}

impl System {
    pub fn start() -> Self {
        let directory = Directory::new("sample").unwrap();
        let root = directory.path().canonicalize().unwrap();
        let guardian = Guardian::over(&root).unwrap();
        let files = root.join("files");
        let repository = home().parent().unwrap().to_owned();
        for folder in ["deploy", "nginx"] {
            copied(&repository.join(folder), &files.join(folder), &|text| text.to_owned());
        }
        make_secrets(&files.join("deploy/compose"));
        let network = network();
        let text = fs::read_to_string(files.join("deploy/compose/compose.yaml")).unwrap();
        // A relay says where it is reached, and each is at an address of its own here: see below.
        let variables = |name: &str| match name {
            "ORIGIN" => Some("https://localhost".to_owned()),
            "PUBLIC_ADDRESS" => Some("0.0.0.0".to_owned()),
            _ => None,
        };
        let compose = Compose::parse(&text, &variables);
        let places = compose.services.iter().zip(1..).map(|((name, service), number)| {
            let address = Ipv4Addr::from_octets([127, network[0], network[1], number]);
            (name.clone(), Place::new(name, service, address, root.join(name)))
        });
        let places = places.collect();
        let ports = ports::own();
        let processes = BTreeMap::new();
        let mut system =
            Self { compose, places, processes, files, ports, _guardian: guardian, _directory: directory };
        let wanted: Vec<String> =
            system.compose.services.keys().filter(|name| system.kind(name).is_some()).cloned().collect();
        for name in &wanted {
            system.up(name);
        }
        for name in &wanted {
            if system.kind(name) == Some(Kind::Turnpike) {
                system.until(&format!("{name} is well"), |system| system.is_well(name));
            }
        }
        system.until("the edge is served", |system| {
            system.curl(&["--head", &system.url("/api/v1/info/health")]).contains(" 200")
        });
        system
    }

    fn kind(&self, name: &str) -> Option<Kind> {
        let image = &self.compose.services[name].image;
        KINDS.iter().find(|(prefix, _)| image.starts_with(prefix)).map(|(_, kind)| *kind)
    }

    /// Behind those that it waits for.
    fn up(&mut self, name: &str) {
        let service = self.compose.services[name].clone();
        for other in &service.after {
            self.up(other);
        }
        if self.processes.contains_key(name) {
            return;
        }
        self.prepare(name, &service);
        let place = self.places[name].clone();
        let log = File::options().create(true).append(true).open(place.root.join("log")).unwrap();
        let mut command = self.command(name, &service.command);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut process = Process::spawn(name, &mut command).unwrap();
        fs::write(place.root.join("pid"), format!("{}\n", process.id())).unwrap();
        if name == "redis-form" {
            let ended = process.wait(BROKEN);
            assert!(ended.is_ok_and(|status| status.success()), "{name}: {}", self.logs());
        }
        self.processes.insert(name.to_owned(), process);
    }

    /// Its folder, with what it is given to read and write.
    fn prepare(&self, name: &str, service: &Service) {
        let place = &self.places[name];
        let all: Vec<Place> = self.places.values().cloned().collect();
        let ports = self.ports;
        let is_edge = self.kind(name) == Some(Kind::Nginx);
        let translated = |text: &str| {
            let text = place.translated(text, &all);
            if is_edge { edge(&text, ports) } else { text }
        };
        fs::create_dir_all(&place.root).unwrap();
        for mount in &service.mounts {
            let there = place.path(&mount.target);
            match &mount.source {
                Some(source) => {
                    copied(&self.files.join("deploy/compose").join(source), there, &translated);
                }
                None => fs::create_dir_all(there).unwrap(),
            }
        }
        for secret in &service.secrets {
            let source = self.files.join("deploy/compose").join(&self.compose.secrets[secret]);
            let there = place.path("/run/secrets").join(secret);
            fs::create_dir_all(there.parent().unwrap()).unwrap();
            fs::copy(source, there).unwrap();
        }
    }

    fn command(&self, name: &str, words: &[String]) -> Command {
        let (place, service) = (&self.places[name], &self.compose.services[name]);
        let all: Vec<Place> = self.places.values().cloned().collect();
        let words: Vec<String> = words.iter().map(|word| place.translated(word, &all)).collect();
        let mut command = match self.kind(name).unwrap() {
            Kind::Turnpike => {
                let mut command = Command::new(turnpike().unwrap());
                command.args(words);
                command
            }
            Kind::Redis => {
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]);
                command
            }
            Kind::Nginx => {
                const RUN: &str = "exec nginx -g 'daemon off;'";
                let conf = place.path("/etc/nginx").display();
                let run = place.path("/run").display();
                // Where Debian's would have them, this process may not write; and one process is ended with one signal.
                let here = format!(
                    "exec nginx -p {conf} -c {conf}/nginx.conf -e stderr \
                     -g 'daemon off; master_process off; pid {run}/nginx.pid;'"
                );
                let [shell, flag, script] = &words[..] else { panic!("nginx is run by a line of shell") };
                assert!(script.ends_with(RUN), "{script}");
                let mut command = Command::new(shell);
                command.arg(flag).arg(script.replace(RUN, &here));
                command
            }
        };
        command.current_dir(&place.root).env_clear().env("PATH", PATH);
        for (key, value) in &service.environment {
            let mut value = place.translated(value, &all);
            if key == "TURNPIKE_TRUSTED_PROXIES" {
                // The kernel gives whoever connects to 127.x.y.z this address.
                value.push_str(",127.0.0.1");
            }
            command.env(key, value);
        }
        command
    }

    /// By the word of the image's own health check.
    fn is_well(&self, name: &str) -> bool {
        let dockerfile = fs::read_to_string(self.files.join("deploy/docker/Dockerfile")).unwrap();
        let check = dockerfile.lines().find(|line| line.starts_with("HEALTHCHECK ")).unwrap();
        let words = check.split_once(" CMD ").unwrap().1;
        let words: Vec<String> = serde_json::from_str(words).unwrap();
        self.command(name, &words[1..]).stdin(Stdio::null()).output().unwrap().status.success()
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < BROKEN, "never: {what}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What a command of the product says that runs where this service does.
    pub fn run(&self, name: &str, words: &[&str]) -> String {
        let service = &self.compose.services[name];
        // With the configuration of the service: all but its role.
        let words: Vec<String> =
            words.iter().map(ToString::to_string).chain(service.command[1..].iter().cloned()).collect();
        said(&self.command(name, &words).stdin(Stdio::null()).output().unwrap())
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.ports[0])
    }

    pub fn secret(&self, name: &str) -> PathBuf {
        self.files.join("deploy/compose/secrets").join(name)
    }

    pub fn authority(&self) -> PathBuf {
        self.secret("tls/fullchain.pem")
    }

    /// For as many users.
    pub fn tokens(&self, flag: &str, rights: &str, count: usize) -> Vec<String> {
        let one = |number: usize| {
            let mut token = Command::new(turnpike().unwrap());
            token.env_clear().env("JWT_SECRET", format!("file:{}", self.secret("jwt-secret").display()));
            let output =
                token.args(["token", "--user", &format!("user-{number}"), flag, rights]).output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        (0..count).map(one).collect()
    }

    /// An answer through the edge, with its head.
    pub fn post(&self, path: &str, token: &str, sdp: &str) -> String {
        let bearer = format!("authorization: Bearer {token}");
        let mut arguments = vec!["--request", "POST", "--header", &bearer];
        arguments.extend(["--header", "content-type: application/sdp", "--data-binary", sdp]);
        let url = self.url(path);
        arguments.push(&url);
        self.curl(&arguments)
    }

    pub fn delete(&self, path: &str, token: &str) -> String {
        let bearer = format!("authorization: Bearer {token}");
        self.curl(&["--request", "DELETE", "--header", &bearer, &self.url(path)])
    }

    fn curl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--include", "--max-time", "20", "--noproxy", "*"]);
        said(&command.arg("--cacert").arg(self.authority()).args(arguments).output().unwrap())
    }

    /// Status and text.
    pub fn metrics(&self, name: &str, token: Option<&str>) -> (u16, String) {
        let url = format!("http://{}:{ADMIN_PORT}/metrics", self.places[name].address);
        let bearer = token.map(|token| format!("authorization: Bearer {token}"));
        let header = bearer.iter().flat_map(|bearer| ["--header", bearer]);
        let arguments: Vec<&str> = header.chain([url.as_str()]).collect();
        let answer = self.curl(&arguments);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("{name}: {answer}")), answer)
    }

    /// What the users of Redis were not allowed to do.
    pub fn refused_by_redis(&self) -> Vec<String> {
        let password = fs::read_to_string(self.secret("redis-operator-password")).unwrap();
        let nodes = self
            .places
            .iter()
            .filter(|(name, _)| self.kind(name) == Some(Kind::Redis) && name.as_str() != "redis-form");
        let log = nodes.map(|(name, place)| {
            let mut ask = Command::new("redis-cli");
            ask.args(["-h", &place.address.to_string(), "--user", "operator", "--no-auth-warning"]);
            let output = ask.env("REDISCLI_AUTH", &password).args(["ACL", "LOG"]).output().unwrap();
            (name, said(&output))
        });
        log.filter(|(_, said)| !said.trim().is_empty())
            .map(|(name, said)| format!("{name}: {said}"))
            .collect()
    }

    /// Everything but Redis, as `docker compose stop` does it; each must have done so in the time that it is given.
    pub fn leave_in_order(&mut self) {
        let names: Vec<String> =
            self.processes.keys().filter(|name| self.kind(name) == Some(Kind::Turnpike)).cloned().collect();
        for name in &names {
            self.processes[name].terminate().unwrap();
        }
        for name in &names {
            let status = self.processes.get_mut(name).unwrap().wait(BROKEN);
            assert!(status.is_ok_and(|status| status.success()), "{name}: {}", self.logs());
        }
    }

    /// The end of each.
    pub fn logs(&self) -> String {
        const LINES: usize = 12;
        let mut all = String::new();
        for (name, place) in &self.places {
            let log = fs::read_to_string(place.root.join("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(LINES)..].join("\n");
            writeln!(all, "--- {name}\n{tail}").unwrap();
        }
        all
    }
}

/// By the script that an operator runs.
fn make_secrets(folder: &Path) {
    let mut script = Command::new(folder.join("make-secrets"));
    script.env_clear().envs([("PATH", PATH), ("EDGE_NAME", "localhost")]);
    let output = script.env("TURNPIKE", turnpike().unwrap()).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

/// Two bytes that no other test of this machine has at the moment, with the ports of the file free behind them.
fn network() -> [u8; 2] {
    const PORTS: [u16; 6] = [3000, 3010, ADMIN_PORT, 3020, 6379, 16379];
    let seed = std::process::id();
    let networks = (0..).map(|step: u32| {
        let number = seed.wrapping_mul(31).wrapping_add(step) % (100 * 250);
        [100 + (number / 250) as u8, 1 + (number % 250) as u8]
    });
    let is_free = |network: &[u8; 2]| {
        PORTS.iter().all(|port| {
            TcpListener::bind((Ipv4Addr::from_octets([127, network[0], network[1], 1]), *port)).is_ok()
        })
    };
    networks.take(20).find(is_free).expect("somebody listens on every interface at a port of the file")
}

/// What nginx is told beside the places: a port that needs no rights, on one address, and fewer connections than a machine that
/// is there for nothing else.
fn edge(text: &str, [tls, plain]: [u16; 2]) -> String {
    let text = text
        .replace("listen 443 ", &format!("listen 127.0.0.1:{tls} "))
        .replace("listen 80", &format!("listen 127.0.0.1:{plain}"))
        .replace("worker_rlimit_nofile 200000", "worker_rlimit_nofile 10000")
        .replace("worker_connections 100000", "worker_connections 4000")
        .replace("realtime.example.com", "localhost");
    text.lines().filter(|line| !line.trim().starts_with("listen [::]")).collect::<Vec<_>>().join("\n")
}

/// Files and folders; texts as `translated` has them.
fn copied(from: &Path, to: &Path, translated: &dyn Fn(&str) -> String) {
    let metadata = fs::metadata(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    if metadata.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copied(&from.join(&name), &to.join(&name), translated);
        }
        return;
    }
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let bytes = fs::read(from).unwrap();
    match String::from_utf8(bytes) {
        Ok(text) => fs::write(to, translated(&text)).unwrap(),
        Err(other) => fs::write(to, other.as_bytes()).unwrap(),
    }
    fs::set_permissions(to, metadata.permissions()).unwrap();
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
