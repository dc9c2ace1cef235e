//! What webhooks can be told.

use std::fmt;
use std::time::Duration;

use super::endpoint::Target;
use super::event::WebhookEvent;

#[derive(Clone)]
pub struct Webhooks {
    /// Of the receiver: http or https.
    pub url: String,
    /// One, or two while it is being changed: every request is signed with each.
    pub secrets: Vec<Vec<u8>>,
    pub events: Vec<WebhookEvent>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How long after an event it is still tried again.
    pub deadline: Duration,
    /// Events that wait; beyond it the newest are dropped.
    pub queue_max: usize,
    /// The receiver may have an address that is not public.
    pub allow_private: bool,
}

impl Webhooks {
    pub fn new(url: impl Into<String>, secret: impl Into<Vec<u8>>) -> Self {
        Self {
            url: url.into(),
            secrets: vec![secret.into()],
            events: WebhookEvent::COMMON.to_vec(),
            timeout: Duration::from_secs(5),
            deadline: Duration::from_mins(10),
            queue_max: 10_000,
            allow_private: false,
        }
    }

    pub(super) fn target(&self) -> Target<'_> {
        Target {
            url: &self.url,
            secrets: &self.secrets,
            timeout: self.timeout,
            allow_private: self.allow_private,
            // One batch after the other.
            connections_max: 1,
        }
    }
}

impl fmt::Debug for Webhooks {
    /// Without the secrets, and without the URL: it may hold one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks")
            .field("events", &self.events)
            .field("timeout", &self.timeout)
            .field("deadline", &self.deadline)
            .field("queue_max", &self.queue_max)
            .field("allow_private", &self.allow_private)
            .finish_non_exhaustive()
    }
}
