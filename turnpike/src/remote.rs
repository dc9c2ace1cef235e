//! `turnpike admin`: asks the admin listener of a running node, on this machine or another.

mod ask;
mod command;
mod table;

use std::process::ExitCode;

use serde_json::Value;

use self::ask::Node;
pub(crate) use self::ask::RemoteError;
pub(crate) use self::command::{FLAGS, HELP, Request};
use crate::config::Config;

pub(crate) fn execute(request: &Request, config: &Config) -> anyhow::Result<ExitCode> {
    let node = Node::new(request, config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer: Value = runtime.block_on(node.ask(request))?;
    crate::print(&if request.json { answer.to_string() } else { (request.show)(&answer) })?;
    Ok(ExitCode::SUCCESS)
}
