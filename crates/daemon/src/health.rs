//! How the process is: named readiness checks, supervised tasks, and the drain. Others set their state, this only keeps it.
//!
//! *Live*: the process answers. *Ready*: it should be given users. *Healthy*: nothing has broken in it, or that it needs to
//! serve the users it has.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

/// Shared by everything that has a state to tell.
#[derive(Debug, Clone)]
pub struct Health(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started: Instant,
    version: &'static str,
    /// Written a few times in a process' life and read by probes: nothing hot waits for it.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    checks: Vec<Condition>,
    tasks: Vec<(&'static str, TaskState)>,
    draining: Option<Draining>,
}

#[derive(Debug)]
struct Condition {
    name: &'static str,
    outcome: Result<(), String>,
    /// While it fails the process is not healthy either.
    vital: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TaskState {
    Running,
    /// Ended as it should.
    Finished,
    /// Ended as it should not.
    Broken(String),
}

#[derive(Debug, Clone)]
struct Draining {
    phase: &'static str,
    left: Option<u64>,
    /// Until the phase is cut off.
    seconds_left: Option<u64>,
}

/// One named condition for being ready. It fails until it has first passed.
#[derive(Debug)]
pub struct Check {
    health: Health,
    index: usize,
}

impl Check {
    pub fn pass(&self) {
        self.set(Ok(()));
    }

    /// `reason` is read by operators.
    pub fn fail(&self, reason: impl Into<String>) {
        self.set(Err(reason.into()));
    }

    fn set(&self, outcome: Result<(), String>) {
        let mut state = self.health.state();
        let check = &mut state.checks[self.index];
        match (&check.outcome, &outcome) {
            (Err(_), Ok(())) => tracing::info!(check = check.name, "readiness check passes"),
            (Ok(()), Err(reason)) => tracing::warn!(check = check.name, reason, "readiness check fails"),
            _ => {}
        }
        check.outcome = outcome;
    }
}

/// What a probe is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub good: bool,
    pub body: Value,
}

impl Health {
    pub fn new(version: &'static str) -> Self {
        Self(Arc::new(Shared { started: Instant::now(), version, state: Mutex::default() }))
    }

    /// Adds a condition for being ready.
    pub fn check(&self, name: &'static str) -> Check {
        self.add(name, false)
    }

    /// Adds a condition for being ready, and for being healthy: without it users are served badly, whoever asks.
    pub fn vital_check(&self, name: &'static str) -> Check {
        self.add(name, true)
    }

    fn add(&self, name: &'static str, vital: bool) -> Check {
        let mut state = self.state();
        state.checks.push(Condition { name, outcome: Err("has not started yet".into()), vital });
        Check { health: self.clone(), index: state.checks.len() - 1 }
    }

    pub fn ready(&self) -> Answer {
        let state = self.state();
        Answer {
            good: state.is_ready(),
            body: json!({ "ready": state.is_ready(), "checks": state.checks(), "draining": state.draining() }),
        }
    }

    pub fn healthy(&self) -> Answer {
        let state = self.state();
        let works = !state.tasks.iter().any(|(_, task)| matches!(task, TaskState::Broken(_)));
        let good = works && !state.checks.iter().any(|check| check.vital && check.outcome.is_err());
        Answer {
            good,
            body: json!({
                "status": if good { "ok" } else { "failing" },
                "ready": state.is_ready(),
                "version": self.0.version,
                "uptime_seconds": self.0.started.elapsed().as_secs(),
                "checks": state.checks(),
                "tasks": state.tasks(),
                "draining": state.draining(),
            }),
        }
    }

    /// `/live`, `/ready` and `/health` with every detail, for the admin listener.
    pub fn routes(&self) -> Router {
        self.shallow_routes(|answer| answer.body.clone()).merge(self.detail_route())
    }

    /// The same for the listener that everybody reaches: the outcome without names and reasons.
    pub fn public_routes(&self) -> Router {
        self.outcome_routes().merge(self.health_route(outcome))
    }

    /// `/live` and `/ready` without names and reasons.
    pub(crate) fn outcome_routes(&self) -> Router {
        self.shallow_routes(outcome)
    }

    /// `/health` with every detail.
    pub(crate) fn detail_route(&self) -> Router {
        self.health_route(|answer| answer.body.clone())
    }

    fn shallow_routes(&self, show: fn(&Answer) -> Value) -> Router {
        let health = self.clone();
        Router::new()
            .route("/live", get(async || json_response(StatusCode::OK, &json!({ "status": "ok" }))))
            .route("/ready", get(async move || respond(&health.ready(), show)))
    }

    fn health_route(&self, show: fn(&Answer) -> Value) -> Router {
        let health = self.clone();
        Router::new().route("/health", get(async move || respond(&health.healthy(), show)))
    }

    pub(crate) fn task(&self, name: &'static str) -> usize {
        let mut state = self.state();
        state.tasks.push((name, TaskState::Running));
        state.tasks.len() - 1
    }

    pub(crate) fn task_ended(&self, index: usize, task: TaskState) {
        self.state().tasks[index].1 = task;
    }

    pub(crate) fn draining(&self, phase: &'static str, left: Option<u64>, seconds_left: Option<u64>) {
        self.state().draining = Some(Draining { phase, left, seconds_left });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment, so a panic elsewhere leaves nothing half done.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_ready(&self) -> bool {
        self.draining.is_none() && self.checks.iter().all(|check| check.outcome.is_ok())
    }

    fn checks(&self) -> Vec<Value> {
        let one = |Condition { name, outcome, .. }: &Condition| match outcome {
            Ok(()) => json!({ "name": name, "ok": true }),
            Err(reason) => json!({ "name": name, "ok": false, "reason": reason }),
        };
        self.checks.iter().map(one).collect()
    }

    fn tasks(&self) -> Vec<Value> {
        let one = |(name, task): &(&str, TaskState)| match task {
            TaskState::Running => json!({ "name": name, "state": "running" }),
            TaskState::Finished => json!({ "name": name, "state": "finished" }),
            TaskState::Broken(reason) => json!({ "name": name, "state": "broken", "reason": reason }),
        };
        self.tasks.iter().map(one).collect()
    }

    fn draining(&self) -> Value {
        self.draining.as_ref().map_or(Value::Null, |Draining { phase, left, seconds_left }| {
            json!({ "phase": phase, "left": left, "seconds_left": seconds_left })
        })
    }
}

fn outcome(answer: &Answer) -> Value {
    json!({ "status": if answer.good { "ok" } else { "failing" } })
}

fn respond(answer: &Answer, show: fn(&Answer) -> Value) -> Response {
    let status = if answer.good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json_response(status, &show(answer))
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, format!("{body}\n")).into_response()
}
