//! `turnpike health`: asks the process of this configuration whether it is ready, for supervisors that can run a command and
//! nothing else, as in a container without a shell.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use crate::announce::reachable;
use crate::config::Config;
use crate::line::{Example, Exit, Flag, JSON, Keys, Spec};

pub(crate) const SPEC: Spec = Spec {
    more: "It asks the admin port of this machine, for supervisors that can run a command and nothing else, as in a container without a shell.",
    flags: &[&[Flag::switch("live", "asks whether the process is alive, not whether it is ready"), JSON]],
    keys: Keys::These(&["admin.host", "admin.port"]),
    examples: &[
        Example("turnpike health", "ready to serve?"),
        Example("turnpike health --live", "alive, though it may be starting or leaving?"),
    ],
    exits: &[Exit(0, "it is"), Exit(1, "it is not; what is printed says why")],
    ..Spec::new("health", "Says whether the process of this configuration is ready, or alive")
};

/// Of a process on this machine, which may be busy.
const ANSWER_MAX: Duration = Duration::from_secs(3);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// 1 if it is not, and says why.
pub(crate) fn ask(config: &Config, live: bool, json: bool) -> anyhow::Result<ExitCode> {
    let path = if live { "/live" } else { "/ready" };
    let address = reachable(config.admin.address());
    let (well, said) = match answer(address, path) {
        Ok(answered) => answered,
        Err(error) => (
            false,
            format!(
                "{address} does not answer: {error}; is it running, and are ADMIN_HOST and ADMIN_PORT those of it?"
            ),
        ),
    };
    crate::print(&if json {
        // What the process says of itself is JSON already.
        let detail = serde_json::from_str(&said).unwrap_or(Value::String(said));
        json!({ "ok": well, "detail": detail }).to_string()
    } else {
        said
    })?;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether it answers that all is well, and what it says.
pub(crate) fn answer(address: SocketAddr, path: &str) -> std::io::Result<(bool, String)> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim().to_owned();
    Ok((answer.starts_with("HTTP/1.1 200 "), body))
}
