//! `turnpike drain`: has a node leave, and waits until it has.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use turnpike_daemon::config::{Arguments, Fault, Faults, Place, Setting as _};

use crate::config::Config;
use crate::remote::{self, Node, RemoteError};

pub(crate) const FLAGS: &[&str] = &["deadline", "no-wait", "url", "as", "json"];

pub(crate) const HELP: &str = "\
Flags of `turnpike drain`, which asks the node at ADMIN_HOST and ADMIN_PORT to leave, and waits until it has:
  --deadline DURATION   how long to wait; the node goes on leaving after that [2m]
  --no-wait             only asks
  --json                what came of it as JSON
  --url URL, --as ID    as for `turnpike admin`
Exit codes: 0 the node is gone, 64 not a command, 69 not reached, 75 it still leaves at the deadline, 77 not allowed.
";

const DEADLINE: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// As sysexits.h has it: try again later.
const STILL_LEAVING: u8 = 75;

pub(crate) struct Request {
    asked: remote::Request,
    deadline: Duration,
    waits: bool,
}

impl Request {
    pub(crate) fn parse(arguments: &mut Arguments, faults: &mut Faults) -> Option<Self> {
        let given = arguments.flags.len();
        arguments.flags.retain(|flag| flag.name != "no-wait" || flag.value.is_some());
        let waits = arguments.flags.len() == given;
        let deadline = arguments.take_one("deadline", Duration::EXPECTS, faults).map(|text| {
            Duration::parse(&text).unwrap_or_else(|problem| {
                faults.push(Fault {
                    key: "--deadline".into(),
                    place: Place::Flag("deadline".into()),
                    value: Some(text),
                    problem,
                    remedy: format!("expected {}", Duration::EXPECTS),
                });
                DEADLINE
            })
        });
        let asked = remote::Request::parse(&["drain"], arguments, faults)?;
        Some(Self { asked, deadline: deadline.unwrap_or(DEADLINE), waits })
    }
}

/// What was seen of the node.
enum Seen {
    Leaving(Value),
    Gone,
}

pub(crate) fn execute(request: &Request, config: &Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(drain(request, config))
}

async fn drain(request: &Request, config: &Config) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let Request { asked, deadline, waits } = request;
    match Node::new(asked, config)?.ask(asked).await {
        Ok(_) => {}
        // Somebody else, or a signal, has asked before.
        Err(RemoteError::Refused(_)) if is_leaving(request, config).await? => {}
        Err(error) => return Err(error.into()),
    }
    if !waits {
        return said(request, "leaving", begun, "the node leaves");
    }
    let mut told = None;
    loop {
        let Seen::Leaving(draining) = look(request, config).await? else {
            return said(request, "gone", begun, "the node is gone");
        };
        let line = progress(&draining);
        if !asked.json && told.as_ref() != Some(&line) {
            crate::say(&line);
            told = Some(line);
        }
        if begun.elapsed() >= *deadline {
            said(request, "leaving", begun, "the node still leaves")?;
            return Ok(ExitCode::from(STILL_LEAVING));
        }
        tokio::time::sleep(LOOK_EVERY.min(deadline.saturating_sub(begun.elapsed()))).await;
    }
}

async fn is_leaving(request: &Request, config: &Config) -> anyhow::Result<bool> {
    Ok(matches!(look(request, config).await?, Seen::Leaving(_)))
}

/// A node that does not answer any more is gone; so is one in whose place another process serves.
async fn look(request: &Request, config: &Config) -> anyhow::Result<Seen> {
    let status = request.asked.drain_status();
    // Each look has a token of its own: a drain may take longer than one lives.
    match Node::new(&status, config)?.ask(&status).await {
        Ok(mut answer) => match answer["draining"].take() {
            Value::Null => Ok(Seen::Gone),
            draining => Ok(Seen::Leaving(draining)),
        },
        Err(RemoteError::Unreachable { .. }) => Ok(Seen::Gone),
        Err(error) => Err(error.into()),
    }
}

fn progress(draining: &Value) -> String {
    let phase = draining["phase"].as_str().unwrap_or("leaving");
    match (draining["left"].as_u64(), draining["seconds_left"].as_u64()) {
        (Some(left), Some(seconds)) => format!("{phase}: {left} left, {seconds} s at most"),
        _ => phase.to_owned(),
    }
}

fn said(request: &Request, state: &str, begun: Instant, words: &str) -> anyhow::Result<ExitCode> {
    let seconds = begun.elapsed().as_secs_f64();
    if request.asked.json {
        crate::print(
            &json!({ "ok": state == "gone" || !request.waits, "state": state, "seconds": seconds })
                .to_string(),
        )?;
    } else {
        crate::print(&format!("{words} ({seconds:.1} s)"))?;
    }
    Ok(ExitCode::SUCCESS)
}
