//! The node that is attacked: in a memory group of its own where there are such, with its metrics at hand.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use turnpike_lab::{Node, SECRET};

use super::peer::Target;
use super::told::{Metrics, Records};
use crate::harness::home;

/// What the node may have, with what the kernel holds for it. Far more than it needs.
const GROUP_BYTES: u64 = 768 << 20;
/// Where the memory controller of the first kind is mounted.
const GROUPS: &str = "/sys/fs/cgroup/memory";
/// Slow attacks are to be seen and ended within the time that there is.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("CORS_ORIGIN", "https://app.example.com"),
    ("TURNPIKE_HTTP_HEADER_TIMEOUT", "500ms"),
    ("TURNPIKE_HTTP_BODY_TIMEOUT", "500ms"),
    ("TURNPIKE_MESSAGE_TIMEOUT", "500ms"),
    ("TURNPIKE_ATTACHMENTS_TIMEOUT", "500ms"),
    ("TURNPIKE_WRITE_DEADLINE", "500ms"),
    ("TURNPIKE_CONNECT_TIMEOUT", "1s"),
    // What is kept on purpose is not to be taken for what was not let go.
    ("TURNPIKE_RECOVERY_WINDOW", "2s"),
    ("TURNPIKE_HISTORY_AGE_MAX", "5s"),
    ("TURNPIKE_HISTORY_BYTES_MAX", "8MiB"),
    ("TURNPIKE_RING_BYTES_MAX", "4MiB"),
    ("TURNPIKE_ROOM_LINGER", "1s"),
    // Else nothing would follow for anybody on this machine.
    ("TURNPIKE_ADDRESS_EXEMPT", "192.0.2.0/24"),
    // A flood of a few seconds is to reach it, and a large office is not.
    ("TURNPIKE_ADDRESS_CONNECTIONS_MAX", "300"),
];
/// Accounts of each attacker, and the last of them may do hardly anything.
const ACCOUNTS: usize = 9;
/// The third part of the addresses of the first.
pub(super) const NETWORK_FIRST: usize = 10;

pub(super) struct Arena {
    node: Node,
    group: Option<PathBuf>,
    audit: PathBuf,
    tokens: Vec<String>,
}

impl Arena {
    pub(super) fn open(binary: Option<PathBuf>, attacks: usize, more: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let binary = binary.unwrap_or_else(|| turnpike_lab::turnpike().unwrap());
        let audit = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!(
            "abuse-audit-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        let directory = audit.to_str().expect("a path of ours");
        let environment = [ENVIRONMENT, more, &[("AUDIT_DIR", directory)]].concat();
        let node = Node::start_binary(&binary, &environment).unwrap();
        let group = group(node.id());
        Self { tokens: tokens(attacks), node, group, audit }
    }

    pub(super) fn gateway(&self) -> SocketAddr {
        self.node.gateway
    }

    pub(super) fn token(&self, user: &str) -> String {
        self.node.token(&["--user", user]).unwrap()
    }

    /// For the attack of this number: each comes from a network of its own.
    pub(super) fn target(&self, number: usize) -> Target {
        Target {
            gateway: self.node.gateway,
            network: u8::try_from(NETWORK_FIRST + number).expect("fewer than two hundred attacks"),
            tokens: Arc::new(self.tokens[number * ACCOUNTS..][..ACCOUNTS - 1].to_vec()),
            narrow: self.tokens[number * ACCOUNTS + ACCOUNTS - 1].as_str().into(),
        }
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.node.is_running()
    }

    pub(super) fn resident_bytes(&self) -> u64 {
        self.node.resident_bytes().unwrap_or_else(|error| panic!("{error:#}\n{}", self.node.log()))
    }

    pub(super) fn metrics(&self) -> Metrics {
        let mut stream = TcpStream::connect(self.node.admin).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let values = text.lines().filter(|line| line.starts_with("turnpike_")).filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        values.collect()
    }

    /// What the audit log has by now.
    pub(super) fn records(&self) -> Records {
        Records::read(&self.audit)
    }

    /// Reads every few milliseconds how much memory it has.
    pub(super) fn watch_memory(&self) -> Watch {
        let (ends, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (its_end, its_peak, id) = (Arc::clone(&ends), Arc::clone(&peak), self.node.id());
        let thread = std::thread::spawn(move || {
            while !its_end.load(Ordering::Relaxed) {
                its_peak.fetch_max(turnpike_lab::resident_bytes(id).unwrap_or_default(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Watch { ends, peak, thread }
    }

    /// The bytes of the memory group that it is in, if it is in one.
    pub(super) fn memory_group(&self) -> Option<u64> {
        self.group.as_ref().map(|_| GROUP_BYTES)
    }

    /// In order, so that all of the audit log is written.
    pub(super) fn close(&mut self) {
        self.node.terminate().unwrap();
        self.node.wait(Duration::from_mins(1)).unwrap();
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.node.kill();
        let _ = std::fs::remove_dir_all(&self.audit);
        if let Some(group) = &self.group {
            // It is empty now, or the kernel says no and it stays behind, which harms nobody.
            let _ = std::fs::remove_dir(group);
        }
    }
}

/// In one go: a process for each would take longer than the attacks.
fn tokens(attacks: usize) -> Vec<String> {
    let script = "import('./lib/token.mjs').then(({ token, seconds }) => { \
        const [attacks, accounts] = process.argv.slice(1).map(Number); \
        for (let attack = 0; attack < attacks; attack++) for (let account = 0; account < accounts; account++) { \
            const rooms = account === accounts - 1 ? { rooms: [{ match: 'lobby:*', can: ['join'] }] } : {}; \
            console.log(token({ sub: `mallory-${attack}-${account}`, exp: seconds() + 3600, ...rooms })); } })";
    let output = Command::new("node")
        .current_dir(home().join("node"))
        .env("SUITE_SECRET", SECRET)
        .args(["-e", script, &attacks.to_string(), &ACCOUNTS.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// None: there are no such groups on this machine, or not for us.
fn group(process: u32) -> Option<PathBuf> {
    let group = Path::new(GROUPS).join(format!("turnpike-abuse-{process}"));
    std::fs::create_dir(&group).ok()?;
    let write = |file: &str, value: u64| std::fs::write(group.join(file), value.to_string());
    let written =
        write("memory.limit_in_bytes", GROUP_BYTES).and_then(|()| write("cgroup.procs", process.into()));
    if written.is_err() {
        let _ = std::fs::remove_dir(&group);
        return None;
    }
    Some(group)
}

pub(super) struct Watch {
    ends: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Watch {
    pub(super) fn end(self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only reads");
        self.peak.load(Ordering::Relaxed)
    }
}
