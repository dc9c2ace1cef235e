//! `turnpike drain`: has a node leave, and waits until it has.

mod process;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use turnpike_daemon::config::{Arguments, Fault, Faults, Place, Setting as _};

use self::process::Process;
use crate::config::Config;
use crate::line::{Example, Exit, Flag, Spec};
use crate::remote::{self, Node, RemoteError};
use crate::terminal;

pub(crate) const SPEC: Spec = Spec {
    more: "It asks the node at ADMIN_HOST and ADMIN_PORT, or at --url, to send its clients to the others and to end, and waits until it has. A node in whose place \
           another process serves is gone as well. A router has no admin API, since it holds none of the secrets by which it could tell who may ask: on its \
           machine it is asked by --pid, elsewhere by whatever supervises it (SIGTERM).",
    flags: &[
        &[
            Flag::value("deadline", "DURATION", "how long to wait; the node goes on leaving after that")
                .default("2m"),
            Flag::switch("no-wait", "only asks"),
            Flag::value(
                "pid",
                "PID",
                "a process of this machine, by SIGTERM: a router, or a node without asking its admin API",
            ),
        ],
        remote::NODE,
    ],
    keys: remote::KEYS,
    examples: &[
        Example("turnpike drain", "the node of this machine"),
        Example(
            "turnpike drain --pid 4711",
            "a router of this machine; `pidof turnpike` says which there are",
        ),
        Example("turnpike drain --url http://10.0.0.21:3011 --deadline 5m", "another one"),
    ],
    exits: &[
        Exit(0, "the node is gone; with --no-wait: it leaves"),
        remote::NOT_REACHED,
        Exit(75, "it still leaves at the deadline"),
        remote::NOT_ALLOWED,
    ],
    ..Spec::new("drain", "Has a node send its clients to the others and end, and waits until it has")
};

const DEADLINE: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// As sysexits.h has it: try again later.
const STILL_LEAVING: u8 = 75;

pub(crate) struct Request {
    asked: remote::Request,
    deadline: Duration,
    waits: bool,
    /// A process of this machine, in place of a node that is asked.
    pid: Option<i32>,
}

impl Request {
    pub(crate) fn parse(arguments: &mut Arguments, faults: &mut Faults) -> Option<Self> {
        let waits = !arguments.take_switch("no-wait");
        let deadline = arguments.take_one("deadline", Duration::EXPECTS, faults).map(|text| {
            Duration::parse(&text).unwrap_or_else(|problem| {
                faults.push(fault("deadline", text, &problem, &format!("expected {}", Duration::EXPECTS)));
                DEADLINE
            })
        });
        let pid = arguments.take_one("pid", "the number of a process", faults).and_then(|text| {
            let pid = text.parse().ok().filter(|pid: &i32| *pid > 0);
            if pid.is_none() {
                faults.push(fault("pid", text, "does not fit", "expected the number of a process"));
            }
            pid
        });
        if pid.is_some()
            && let Some(flag) =
                arguments.flags.iter().find(|flag| ["url", "as"].contains(&flag.name.as_str()))
        {
            let value = flag.value.clone().unwrap_or_default();
            faults.push(fault(
                &flag.name,
                value,
                "is for a node that is asked",
                "expected either --pid or --url",
            ));
        }
        let asked = remote::Request::parse(&["drain"], arguments, faults)?;
        Some(Self { asked, deadline: deadline.unwrap_or(DEADLINE), waits, pid })
    }
}

fn fault(flag: &str, value: String, problem: &str, remedy: &str) -> Fault {
    Fault {
        key: format!("--{flag}"),
        place: Place::Flag(flag.into()),
        value: Some(value),
        problem: problem.into(),
        remedy: remedy.into(),
    }
}

/// What was seen of the node.
enum Seen {
    Leaving(Value),
    Gone,
}

pub(crate) fn execute(request: &Request, config: &Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match request.pid {
        Some(pid) => runtime.block_on(drain_process(request, &Process::find(pid, config)?)),
        None => runtime.block_on(drain(request, config)),
    }
}

async fn drain_process(request: &Request, process: &Process) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    process.ask()?;
    if !request.waits {
        return said(request, "leaving", begun, "the process leaves");
    }
    if process.wait(begun, request.deadline).await {
        return said(request, "gone", begun, "the process is gone");
    }
    said(request, "leaving", begun, "the process still leaves")?;
    Ok(ExitCode::from(STILL_LEAVING))
}

async fn drain(request: &Request, config: &Config) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let Request { asked, deadline, waits, .. } = request;
    match Node::new(asked, config)?.ask(asked).await {
        Ok(_) => {}
        // Somebody else, or a signal, has asked before.
        Err(RemoteError::Refused(_)) if is_leaving(request, config).await? => {}
        Err(error) => return Err(error.into()),
    }
    if !waits {
        return said(request, "leaving", begun, "the node leaves");
    }
    // Gone from the terminal with the value, whichever way this ends.
    let bar = terminal::spinner("leaving");
    loop {
        let Seen::Leaving(draining) = look(request, config).await? else {
            bar.finish_and_clear();
            return said(request, "gone", begun, "the node is gone");
        };
        bar.set_message(progress(&draining));
        if begun.elapsed() >= *deadline {
            bar.finish_and_clear();
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
