//! `turnpike health`: asks the process of this configuration whether it is ready, for supervisors that can run a command and
//! nothing else, as in a container without a shell.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use crate::announce::reachable;
use crate::config::Config;

/// Of a process on this machine, which may be busy.
const ANSWER_MAX: Duration = Duration::from_secs(3);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// 1 if it is not, and says why.
pub(crate) fn ask(config: &Config, live: bool) -> anyhow::Result<ExitCode> {
    let path = if live { "/live" } else { "/ready" };
    let address = reachable(config.admin.address());
    let (well, said) = match answer(address, path) {
        Ok(answer) => {
            let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim().to_owned();
            (answer.starts_with("HTTP/1.1 200 "), body)
        }
        Err(error) => (false, format!("{address} does not answer: {error}")),
    };
    crate::print(&said)?;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn answer(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}
