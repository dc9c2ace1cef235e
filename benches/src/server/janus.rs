//! janus as Debian has it, with its video room over HTTP alone, configured for one core and a room of our own.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{Places, tail};
use crate::measure::{machine, pinning::Core};

/// Nothing takes so long to start.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks whether it listens.
const BREATH: Duration = Duration::from_millis(20);

/// The library's folder of Debian, which is named after the architecture.
const LIBRARIES: &str = "/usr/lib";
const PLUGIN: &str = "libjanus_videoroom.so";
const TRANSPORT: &str = "libjanus_http.so";

pub(super) fn start(places: &Places, core: Core) -> anyhow::Result<(Child, SocketAddr)> {
    let folder = places.programs.join("bench-janus");
    // It cannot be asked which port it took, so it is told one that was free a moment ago.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    configure(&folder, &library()?, address.port())?;
    let mut log = places.log("janus")?;
    let mut command = core.command("janus");
    command.arg("--configs-folder").arg(&folder);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
    let mut child = command.spawn().context("janus did not start")?;
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        if child.try_wait()?.is_some() || Instant::now() > end {
            child.kill().ok();
            child.wait().ok();
            anyhow::bail!("janus does not listen: {}", tail(&mut log));
        }
        std::thread::sleep(BREATH);
    }
    Ok((child, address))
}

/// Where its plugins and transports are.
fn library() -> anyhow::Result<PathBuf> {
    let folders = fs::read_dir(LIBRARIES)?.filter_map(|entry| Some(entry.ok()?.path().join("janus")));
    let is_it = |folder: &PathBuf| folder.join("plugins").join(PLUGIN).exists();
    folders.into_iter().find(is_it).with_context(|| format!("no {PLUGIN} below {LIBRARIES}"))
}

fn configure(folder: &Path, library: &Path, port: u16) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let (plugins, transports) = (library.join("plugins"), library.join("transports"));
    let (unused_plugins, unused_transports) = (others(&plugins, PLUGIN)?, others(&transports, TRANSPORT)?);
    // It passes over loopback addresses. One event loop, since it has one core; otherwise it starts a thread a viewer. Sessions without a look for
    // events must stay.
    let own = machine::address()?;
    let (configs, plugins, transports) = (folder.display(), plugins.display(), transports.display());
    let general = format!(
        "general: {{ configs_folder = \"{configs}\", plugins_folder = \"{plugins}\", \
         transports_folder = \"{transports}\", debug_level = 3, event_loops = 1, session_timeout = 0 }}\n\
         nat: {{ ice_enforce_list = \"{own}\" }}\n\
         plugins: {{ disable = {unused_plugins:?} }}\n\
         transports: {{ disable = {unused_transports:?} }}\n"
    );
    fs::write(folder.join("janus.jcfg"), general)?;
    // No limit of the publisher's rate, and keyframes only when somebody asks.
    let room = "room-1: { description = \"bench\", publishers = 1000, bitrate = 0, fir_freq = 0, \
                videocodec = \"vp8\" }\n";
    fs::write(folder.join("janus.plugin.videoroom.jcfg"), room)?;
    let http = format!(
        "general: {{ json = \"compact\", base_path = \"/janus\", http = true, port = {port}, ip = \"127.0.0.1\", \
         https = false }}\n"
    );
    fs::write(folder.join("janus.transport.http.jcfg"), http)?;
    Ok(())
}

/// Everything in the folder but this one, as its configuration wants it.
fn others(folder: &Path, wanted: &str) -> anyhow::Result<String> {
    let names = fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut others: Vec<String> =
        names.filter(|name| name.strip_suffix(".so").is_some() && name != wanted).collect();
    others.sort_unstable();
    Ok(others.join(","))
}
