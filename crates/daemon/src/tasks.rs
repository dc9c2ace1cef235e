//! Named background tasks. A task that panics, or ends before it was told to, is logged and makes the process unhealthy.

use std::any::Any;
use std::future::Future;

use tokio::sync::watch;
use tracing::Instrument as _;

use crate::health::{Health, TaskState};

/// Starts tasks and keeps their states in a [`Health`].
#[derive(Debug, Clone)]
pub struct Tasks {
    health: Health,
    stop: watch::Sender<bool>,
}

/// Resolves when tasks should end.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    pub async fn requested(&mut self) {
        // The sender gone means the same: nobody is left who would want the task.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

impl Tasks {
    pub fn new(health: Health) -> Self {
        Self { health, stop: watch::Sender::new(false) }
    }

    /// Starts a task that is to run until it is stopped. Needs a runtime around it.
    pub fn spawn<F>(&self, name: &'static str, task: impl FnOnce(Stop) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let index = self.health.task(name);
        let work = tokio::spawn(
            task(Stop(self.stop.subscribe())).instrument(tracing::info_span!("task", task = name)),
        );
        let Self { health, stop } = self.clone();
        tokio::spawn(async move {
            let ended = match work.await {
                Ok(()) if *stop.borrow() => TaskState::Finished,
                Ok(()) => TaskState::Broken("ended although nobody stopped it".into()),
                Err(error) => TaskState::Broken(match error.try_into_panic() {
                    Ok(panic) => format!("panicked: {}", panic_text(panic.as_ref())),
                    Err(_) => "was aborted".into(),
                }),
            };
            if let TaskState::Broken(reason) = &ended {
                tracing::error!(task = name, reason, "a background task is gone");
            }
            health.task_ended(index, ended);
        });
    }

    /// Asks all tasks to end.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("with a value that is no text")
}
