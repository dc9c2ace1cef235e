//! A real Prometheus with the files that ship, in a folder of its own and in a hurry: what takes minutes there takes seconds.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use turnpike_lab::{Directory, Process};

use crate::harness::{home, ports};

/// Reaching it means that something is broken.
const START_MAX: Duration = Duration::from_secs(30);
/// Between two looks.
const BREATH: Duration = Duration::from_millis(250);
/// What is shortened of the rules, the longest first.
const HURRY: [(&str, &str); 4] =
    [("[15m]", "[30s]"), ("[10m]", "[15s]"), ("[5m]", "[15s]"), ("15s\n", "1s\n")];

pub struct Prometheus {
    pub address: SocketAddr,
    _process: Process,
    _folder: Directory,
}

/// Who is asked: the name of a file in `targets/`, and admin listeners.
pub type Targets<'a> = [(&'a str, Vec<SocketAddr>)];

pub fn shipped() -> PathBuf {
    home().join("../deploy/prometheus")
}

impl Prometheus {
    /// It has been asked once and answers when this returns.
    pub fn start(targets: &Targets<'_>, token: &str) -> Self {
        let folder = Directory::new("prometheus").unwrap();
        let [port] = ports::own();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        copy(folder.path(), targets, token, address);
        // What ships, but for its places.
        promtool(&["check", "config", folder.path().join("prometheus.yml").to_str().unwrap()]);
        hurry(folder.path());
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new("prometheus");
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).args([
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--log.level=warn",
            &format!("--web.listen-address={address}"),
        ]);
        let process = Process::spawn("prometheus", &mut command).unwrap();
        let begun = Instant::now();
        while get(address, "/-/ready").is_none_or(|(status, _)| status != 200) {
            let log = || fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            assert!(begun.elapsed() < START_MAX, "Prometheus is not ready: {}", log());
            std::thread::sleep(BREATH);
        }
        Self { address, _process: process, _folder: folder }
    }

    /// Labels and values of what an expression gives now.
    pub fn ask(&self, expression: &str) -> Result<Vec<(Value, f64)>, String> {
        let (_, body) = get(self.address, &format!("/api/v1/query?query={}", encoded(expression)))
            .ok_or("Prometheus does not answer")?;
        let answer: Value = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        if answer["status"] != "success" {
            return Err(answer["error"].to_string());
        }
        let result = &answer["data"]["result"];
        let number = |sample: &Value| sample[1].as_str().and_then(|text| text.parse().ok());
        if answer["data"]["resultType"] == "scalar" {
            return Ok(number(result).map(|value| (Value::Null, value)).into_iter().collect());
        }
        let samples = result.as_array().ok_or("no samples")?.iter();
        Ok(samples.filter_map(|sample| Some((sample["metric"].clone(), number(&sample["value"])?))).collect())
    }

    /// All alerting rules, as it has read them.
    pub fn alerts(&self) -> Vec<Value> {
        let (_, body) = get(self.address, "/api/v1/rules?type=alert").unwrap();
        let answer: Value = serde_json::from_str(&body).unwrap();
        let groups = answer["data"]["groups"].as_array().unwrap().clone();
        groups.into_iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    }

    /// What fires, by alert and instance.
    pub fn firing(&self) -> Vec<(String, String)> {
        let firing = self.ask("ALERTS{alertstate=\"firing\"}").unwrap_or_default();
        let text = |labels: &Value, name: &str| labels[name].as_str().unwrap_or_default().to_owned();
        firing.iter().map(|(labels, _)| (text(labels, "alertname"), text(labels, "instance"))).collect()
    }

    /// Waits until each of these fires, of this process if one is named.
    pub fn until_firing(
        &self,
        wanted: &[(&str, Option<SocketAddr>)],
        limit: Duration,
        mut meanwhile: impl FnMut(),
    ) {
        let begun = Instant::now();
        let mut waiting = wanted.to_vec();
        loop {
            meanwhile();
            let firing = self.firing();
            waiting.retain(|(alert, at)| {
                let is_it = |(name, instance): &(String, String)| {
                    name == alert && at.is_none_or(|at| *instance == at.to_string())
                };
                !firing.iter().any(is_it)
            });
            if waiting.is_empty() {
                println!(
                    "{:?} fired after {:?}",
                    wanted.iter().map(|(name, _)| name).collect::<Vec<_>>(),
                    begun.elapsed()
                );
                return;
            }
            assert!(begun.elapsed() < limit, "waited in vain for {waiting:?}; there are {firing:?}");
            std::thread::sleep(BREATH);
        }
    }
}

pub fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool").args(arguments).current_dir(shipped()).output().unwrap();
    let (said, faults) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {arguments:?}: {said}{faults}");
}

/// The folder as it ships, with these targets and this token.
fn copy(to: &Path, targets: &Targets<'_>, token: &str, own: SocketAddr) {
    fs::create_dir(to.join("targets")).unwrap();
    for entry in fs::read_dir(shipped()).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    fs::write(to.join("token"), token).unwrap();
    let config = fs::read_to_string(to.join("prometheus.yml")).unwrap();
    let config = config
        .replace("/run/secrets/prometheus-token", to.join("token").to_str().unwrap())
        .replace("localhost:9090", &own.to_string());
    fs::write(to.join("prometheus.yml"), config).unwrap();
    for (file, addresses) in targets.iter().chain([&("alertmanagers", Vec::new())]) {
        let shipped = shipped().join(format!("targets/{file}.yml"));
        assert!(shipped.is_file(), "{} ships", shipped.display());
        let mut text = String::from(if addresses.is_empty() { "[]\n" } else { "- targets:\n" });
        for address in addresses {
            writeln!(text, "    - {address}").unwrap();
        }
        fs::write(to.join(format!("targets/{file}.yml")), text).unwrap();
    }
}

fn hurry(folder: &Path) {
    for file in ["prometheus.yml", "turnpike-alerts.yml", "turnpike-recording.yml"] {
        let mut text = fs::read_to_string(folder.join(file)).unwrap();
        for (patient, hasty) in HURRY {
            text = text.replace(patient, hasty);
        }
        let at_once = |line: &str| {
            if line.trim_start().starts_with("for: ") { "        for: 1s" } else { line }.to_owned()
        };
        let lines: Vec<String> = text.lines().map(at_once).collect();
        fs::write(folder.join(file), lines.join("\n") + "\n").unwrap();
    }
}

/// Status and body. HTTP/1.0, so that the body comes as it is.
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(START_MAX)).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").unwrap();
        }
    }
    out
}
