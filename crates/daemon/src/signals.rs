//! Signals: the first asks for a drain, the second ends the process at once; one asks for the configuration to be read anew.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::log::Writer;

/// Listening from its making on: a signal that arrives during the start is not lost.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// SIGHUP: what can change while the process runs is read anew. From its making on it does not end the process.
#[derive(Debug)]
pub struct Hangup(Signal);

impl Hangup {
    /// Needs a runtime around it.
    pub fn listen() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    pub async fn next(&mut self) {
        let _ = self.0.recv().await;
    }
}

/// A signal that asks the process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    pub name: &'static str,
    number: i32,
}

impl Signals {
    /// Needs a runtime around it.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub async fn next(&mut self) -> Ending {
        tokio::select! {
            _ = self.terminate.recv() => Ending { name: "SIGTERM", number: SignalKind::terminate().as_raw_value() },
            _ = self.interrupt.recv() => Ending { name: "SIGINT", number: SignalKind::interrupt().as_raw_value() },
        }
    }

    /// From here on a signal ends the process, with the code that a shell gives to a process ended by it.
    pub fn exit_on_next(mut self, log: Writer) {
        tokio::spawn(async move {
            let ending = self.next().await;
            tracing::warn!(signal = ending.name, "second signal, leaving at once");
            log.flush();
            std::process::exit(128 + ending.number);
        });
    }
}
