//! How what was started is now.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::Place;
use super::detached::runs;
use super::state::{Started, State};
use crate::redis::{Connection, health};

const ANSWER_MAX: Duration = Duration::from_secs(2);

/// A line for each process, and whether all is as it should be.
pub fn status(place: &Place) -> anyhow::Result<(String, bool)> {
    let Some(state) = State::load(place)? else {
        return Ok(("nothing is up: `cargo xtask cluster up` starts it".into(), false));
    };
    let mut out = String::new();
    let mut well = true;
    for node in &state.redis {
        let (said, fine) = if runs(place, node) { redis(node) } else { ("does not run".into(), false) };
        let _ = writeln!(out, "  {:10} port {:5}  {said}", node.name, node.port);
        well &= fine;
    }
    for node in &state.gateways {
        let (said, fine) = if runs(place, node) { gateway(node) } else { ("does not run".into(), false) };
        let _ = writeln!(out, "  {:10} port {:5}  {said}", node.name, node.port);
        well &= fine;
    }
    let ports: Vec<u16> = state.redis.iter().map(|node| node.port).collect();
    if let Err(error) = health::healthy(&ports, 1, None) {
        let _ = writeln!(out, "  the Redis Cluster: {error:#}");
        well = false;
    }
    out.push_str(if well { "all is well" } else { "`cargo xtask cluster up` starts what does not run" });
    Ok((out, well))
}

fn redis(node: &Started) -> (String, bool) {
    let role =
        Connection::open(("127.0.0.1", node.port)).and_then(|mut node| node.command(&["ROLE"])?.sound());
    match role {
        Ok(role) => (
            role.items().first().map_or_else(String::new, |role| role.text().replace("slave", "replica")),
            true,
        ),
        Err(error) => (format!("{error:#}"), false),
    }
}

/// By its own word at the admin port.
fn gateway(node: &Started) -> (String, bool) {
    let ask = || -> std::io::Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, node.second_port));
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        write!(stream, "GET /ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(64 * 1024).read_to_string(&mut answer)?;
        Ok(answer)
    };
    match ask() {
        Ok(answer) if answer.starts_with("HTTP/1.1 200") => ("ready".into(), true),
        Ok(answer) => {
            let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            (format!("not ready: {body}"), false)
        }
        Err(error) => (format!("does not answer: {error}"), false),
    }
}
