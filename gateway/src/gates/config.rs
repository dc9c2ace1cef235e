//! What gates can be told.

use std::fmt;
use std::time::Duration;

use crate::webhooks::Target;

/// What a backend may be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    Connect,
    Join,
    Send,
}

impl Gate {
    pub const ALL: [Self; 3] = [Self::Connect, Self::Join, Self::Send];

    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Join => "join",
            Self::Send => "send",
        }
    }

    pub(super) fn index(self) -> usize {
        match self {
            Self::Connect => 0,
            Self::Join => 1,
            Self::Send => 2,
        }
    }
}

/// What happens when no answer comes that can be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    Deny,
    Allow,
}

#[derive(Clone)]
pub struct Gates {
    /// Of the backend: http or https.
    pub url: String,
    /// One, or two while it is being changed: every request is signed with each.
    pub secrets: Vec<Vec<u8>>,
    pub asked: Vec<Gate>,
    /// How long an answer may take, the wait for a turn included.
    pub timeout: Duration,
    pub unanswered: Unanswered,
    /// Requests under way at once, for each gate.
    pub requests_max: usize,
    /// Who waits for a turn, for each gate. Beyond it nobody is asked.
    pub queue_max: usize,
    /// The backend may have an address that is not public.
    pub allow_private: bool,
}

impl Gates {
    pub fn new(url: impl Into<String>, secret: impl Into<Vec<u8>>) -> Self {
        Self {
            url: url.into(),
            secrets: vec![secret.into()],
            asked: Gate::ALL.to_vec(),
            timeout: Duration::from_secs(1),
            unanswered: Unanswered::Deny,
            requests_max: 64,
            queue_max: 1_000,
            allow_private: false,
        }
    }

    pub(super) fn target(&self) -> Target<'_> {
        Target {
            url: &self.url,
            secrets: &self.secrets,
            timeout: self.timeout,
            allow_private: self.allow_private,
            connections_max: self.requests_max.saturating_mul(Gate::ALL.len()),
        }
    }
}

impl fmt::Debug for Gates {
    /// Without the secrets, and without the URL: it may hold one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gates")
            .field("asked", &self.asked)
            .field("timeout", &self.timeout)
            .field("unanswered", &self.unanswered)
            .field("requests_max", &self.requests_max)
            .field("queue_max", &self.queue_max)
            .field("allow_private", &self.allow_private)
            .finish_non_exhaustive()
    }
}
