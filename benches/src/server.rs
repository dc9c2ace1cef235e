//! The servers that are compared: how each is started, where it listens, and that it is gone afterwards.

mod janus;
mod proxy;

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{
    measure::{memory, pinning::Core, process},
    media::command::Dialect,
};

/// Shared with the load, which makes the tokens. Long enough for any rule about secrets.
pub(crate) const SECRET: &str = "bench-secret-that-is-long-enough-for-hs256-0123456789";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    Turnpike,
    Node,
    /// Node with the adapter that passes messages on through Redis streams.
    NodeStreams,
    Socketioxide,
    Webrtc,
    Janus,
    Nginx,
    Haproxy,
    Floor,
}

impl Contender {
    pub(crate) const ALL: [Self; 9] = [
        Self::Turnpike,
        Self::Node,
        Self::NodeStreams,
        Self::Socketioxide,
        Self::Webrtc,
        Self::Janus,
        Self::Nginx,
        Self::Haproxy,
        Self::Floor,
    ];
    /// Those that have sessions, and speak the protocol of clients.
    pub(crate) const SERVERS: &'static [Self] =
        &[Self::Turnpike, Self::Node, Self::Socketioxide, Self::Floor];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Turnpike => "turnpike",
            Self::Node => "node",
            Self::NodeStreams => "node-streams",
            Self::Socketioxide => "socketioxide",
            Self::Webrtc => "webrtc",
            Self::Janus => "janus",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Floor => "floor",
        }
    }

    /// How its relay is spoken to.
    pub(crate) fn dialect(self) -> Dialect {
        if self == Self::Janus { Dialect::Janus } else { Dialect::Whip }
    }

    /// Whose failure is ours to mend. What a peer loses is recorded and does not end the run.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Turnpike | Self::Floor)
    }
}

/// What a scenario asks of every server alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) heartbeat: Duration,
    pub(crate) deflate: bool,
    /// What forwards media, of those who have something of their own for it.
    pub(crate) is_relay: bool,
}

impl Default for Setting {
    fn default() -> Self {
        // The default of the protocol and of every server here.
        Self { heartbeat: Duration::from_secs(25), deflate: false, is_relay: false }
    }
}

/// This program's file, as it was called when that was first asked: a build may put a new one in its place, and from then on
/// the system calls the one that runs deleted.
pub(crate) fn own_program() -> anyhow::Result<&'static Path> {
    static OWN: LazyLock<std::io::Result<PathBuf>> = LazyLock::new(std::env::current_exe);
    OWN.as_deref().map_err(|error| anyhow::anyhow!("the file of this program: {error}"))
}

/// Where things lie: the repository, and the directory of the built programs.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) root: PathBuf,
    pub(crate) programs: PathBuf,
}

impl Places {
    pub(crate) fn find() -> anyhow::Result<Self> {
        let programs = own_program()?.parent().context("a program lies in a directory")?.to_owned();
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("benches/ lies in the repository")?;
        Ok(Self { root: root.to_owned(), programs })
    }

    /// Where a server's stderr goes, begun anew with each start: a pipe would have to be emptied all the time.
    fn log(&self, name: &str) -> anyhow::Result<File> {
        let directory = self.programs.join("bench-logs");
        std::fs::create_dir_all(&directory)?;
        let path = directory.join(format!("{name}.log"));
        File::options().read(true).write(true).create(true).truncate(true).open(&path).context("a log file")
    }

    /// For what servers write while something else is measured. `cargo xtask bench` gives a place in memory: a disk that
    /// stands still for a second, as those of virtual machines do, would hold up every login.
    pub(crate) fn data(&self) -> anyhow::Result<Data> {
        let chosen = std::env::var_os("TMPDIR").filter(|path| !path.is_empty());
        Data::within(chosen.as_ref().map_or(self.programs.as_path(), Path::new))
    }

    /// For what measures the disk.
    pub(crate) fn disk(&self) -> anyhow::Result<Data> {
        Data::within(&self.programs)
    }

    pub(crate) fn node_peer(&self) -> PathBuf {
        self.root.join("benches/peers/node")
    }
}

/// Where a server keeps its files, gone with it. What another has left there, such as its audit log, would be read and
/// packed by the next one while that is measured.
pub(crate) struct Data(PathBuf);

impl Data {
    fn within(folder: &Path) -> anyhow::Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let data = Self(folder.join(format!("bench-data/{}-{number}", std::process::id())));
        std::fs::create_dir_all(&data.0)?;
        Ok(data)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

pub(crate) struct Server {
    contender: Contender,
    child: Child,
    pub(crate) address: SocketAddr,
    /// Where its metrics are, if it is one of ours.
    pub(crate) admin: Option<SocketAddr>,
    _data: Option<Data>,
}

impl Server {
    /// With an environment of its own besides what all get.
    pub(crate) fn start(
        contender: Contender,
        setting: Setting,
        places: &Places,
        core: Core,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let name = contender.name();
        let mut command = match contender {
            Contender::Turnpike => core.command(places.programs.join("turnpike")),
            Contender::Socketioxide => core.command(places.programs.join("bench-socketioxide")),
            Contender::Floor if setting.is_relay => core.command(places.programs.join("bench-relay-floor")),
            Contender::Floor => core.command(places.programs.join("bench-floor")),
            Contender::Webrtc => core.command(places.programs.join("bench-relay-webrtc")),
            Contender::Janus => {
                let (child, address) = janus::start(places, core)?;
                return Ok(Self { contender, child, address, admin: None, _data: None });
            }
            Contender::Nginx | Contender::Haproxy => anyhow::bail!("it has no sessions of its own"),
            Contender::Node | Contender::NodeStreams => {
                let mut command = core.command("node");
                command.arg(places.node_peer().join("server.mjs")).env("NODE_ENV", "production");
                command
            }
        };
        let heartbeat_ms = setting.heartbeat.as_millis().to_string();
        command
            .env("PORT", "0")
            .env("JWT_SECRET", SECRET)
            .env("HEARTBEAT_MS", &heartbeat_ms)
            .env("DEFLATE", if setting.deflate { "1" } else { "0" });
        if contender == Contender::NodeStreams {
            command.env("REDIS_ADAPTER", "streams");
        }
        if contender == Contender::Turnpike {
            // The pong's deadline must lie before the next ping; it is 20 s unless heartbeats are shorter than that.
            let timeout_ms = setting.heartbeat.as_millis().min(20_000).to_string();
            command
                .env("ADMIN_PORT", "0")
                .env("HEARTBEAT_INTERVAL", &heartbeat_ms)
                .env("TURNPIKE_HEARTBEAT_TIMEOUT", timeout_ms);
        }
        command.envs(environment.iter().copied());
        Self::launch(contender, command, places, name)
    }

    /// Until it has said where it listens.
    fn launch(
        contender: Contender,
        mut command: Command,
        places: &Places,
        name: &str,
    ) -> anyhow::Result<Self> {
        let (data, mut errors) = (places.data()?, places.log(name)?);
        command.env("DATA_DIR", &data.0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors.try_clone()?);
        let mut child = command.spawn().with_context(|| format!("{name} did not start"))?;

        let mut lines = BufReader::new(child.stdout.take().context("stdout of the server")?).lines();
        let addresses = lines.by_ref().map_while(Result::ok).find_map(|line| listening(&line));
        // Whatever else it says must not fill the pipe and stop it.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let Some((address, admin)) = addresses else {
            child.kill().ok();
            child.wait().ok();
            anyhow::bail!("{name} ended before it listened: {}", tail(&mut errors));
        };
        Ok(Self { contender, child, address, admin, _data: Some(data) })
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// User and system seconds so far.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        process::cpu_seconds(self.child.id()).with_context(|| self.contender.name())
    }

    /// Seconds in which it was ready to run and something else had its core.
    pub(crate) fn waited_seconds(&self) -> anyhow::Result<f64> {
        process::waited_seconds(self.child.id()).with_context(|| self.contender.name())
    }

    pub(crate) fn resident_bytes(&self) -> anyhow::Result<f64> {
        memory::resident_bytes(self.child.id()).with_context(|| self.contender.name())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The addresses in `{"listening":{"gateway":"http://127.0.0.1:3010","admin":"http://127.0.0.1:3011"}}`.
fn listening(line: &str) -> Option<(SocketAddr, Option<SocketAddr>)> {
    #[derive(Deserialize)]
    struct Line {
        listening: Listening,
    }
    #[derive(Deserialize)]
    struct Listening {
        /// Where clients come in, at a router as well.
        #[serde(alias = "router")]
        gateway: String,
        admin: Option<String>,
    }
    let line: Line = serde_json::from_str(line).ok()?;
    let address = |url: &str| -> Option<SocketAddr> {
        let address: SocketAddr = url.strip_prefix("http://")?.trim_end_matches('/').parse().ok()?;
        let ip = if address.ip().is_unspecified() { [127, 0, 0, 1].into() } else { address.ip() };
        Some(SocketAddr::new(ip, address.port()))
    };
    Some((address(&line.listening.gateway)?, line.listening.admin.as_deref().and_then(address)))
}

fn tail(file: &mut File) -> String {
    let len = file.metadata().map_or(0, |metadata| metadata.len());
    file.seek(SeekFrom::Start(len.saturating_sub(2_000))).ok();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_among_other_lines() {
        assert_eq!(listening("Turnpike, development system"), None);
        assert_eq!(listening(r#"{"level":"INFO","message":"started"}"#), None);
        let line = r#"{"listening":{"gateway":"http://127.0.0.1:4242","admin":"http://127.0.0.1:1"}}"#;
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(listening(line), Some((at(4_242), Some(at(1)))));
        let any = r#"{"listening":{"gateway":"http://0.0.0.0:7/"}}"#;
        assert_eq!(listening(any), Some((at(7), None)));
        assert_eq!(listening(&line.replace("gateway", "router")), Some((at(4_242), Some(at(1)))));
    }
}
