//! `turnpike admin` and `turnpike inspect`: asks the admin listener of a running node, on this machine or another.

mod ask;
mod command;
pub(crate) mod inspect;
mod line;
mod table;
mod verification;

use std::process::ExitCode;

use serde_json::Value;

pub(crate) use self::ask::{Node, RemoteError};
pub(crate) use self::command::Request;
pub(crate) use self::line::{ADMIN, INSPECT, KEYS, NODE, NOT_ALLOWED, NOT_REACHED};
use crate::config::Config;
use crate::terminal;

/// What was found is not everything.
const PARTIAL: u8 = 2;

pub(crate) fn execute(request: &Request, config: &Config) -> anyhow::Result<ExitCode> {
    let node = Node::new(request, config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if request.waits {
        return runtime.block_on(verification::wait(&node, request));
    }
    let answer: Value = runtime.block_on(terminal::waiting("the node is asked", node.ask(request)))?;
    crate::print(&if request.json { answer.to_string() } else { (request.show)(&answer) })?;
    Ok(if inspect::is_partial(&answer) { ExitCode::from(PARTIAL) } else { ExitCode::SUCCESS })
}
