//! `turnpike admin verify --wait`: begins a verification on a node, or follows the one that runs, until it is done.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;
use turnpike_audit::Verdict;

use super::ask::{Node, RemoteError};
use super::command::Request;
use crate::terminal;

const LOOK_EVERY: Duration = Duration::from_millis(300);

pub(super) async fn wait(node: &Node, request: &Request) -> anyhow::Result<ExitCode> {
    let status = request.verification_status();
    match node.ask(request).await {
        Ok(_) => {}
        // Somebody else has begun one.
        Err(RemoteError::Refused(_)) if node.ask(&status).await?["state"] == "running" => {}
        Err(error) => return Err(error.into()),
    }
    let bar = terminal::bytes(0);
    let answer = loop {
        let answer = node.ask(&status).await?;
        if answer["state"] != "running" {
            break answer;
        }
        bar.set_length(answer["bytes_total"].as_u64().unwrap_or(0));
        bar.set_position(answer["bytes"].as_u64().unwrap_or(0));
        bar.set_message(format!("{} records", answer["records"]));
        tokio::time::sleep(LOOK_EVERY).await;
    };
    bar.finish_and_clear();
    crate::print(&if request.json { answer.to_string() } else { (status.show)(&answer) })?;
    Ok(code(&answer))
}

/// As `turnpike audit verify` ends.
fn code(answer: &Value) -> ExitCode {
    let word = answer["report"]["verdict"].as_str();
    let verdicts = [Verdict::Sound, Verdict::Gap, Verdict::TailNotAnchored];
    let verdict = verdicts.into_iter().find(|verdict| Some(verdict.word()) == word);
    ExitCode::from(verdict.unwrap_or(Verdict::Tampered) as u8)
}
