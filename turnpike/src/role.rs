//! Which part of the system a process is, where it is not all of it: `turnpike gateway` for users, `turnpike relay` for live
//! video. Both are nodes of the same cluster, with the same configuration and the same binary.

use turnpike_daemon::config::{Loaded, Place};

use crate::config::Config;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Users and live video in one process.
    All,
    /// Users. Who publishes or watches is sent to relays of other processes.
    Gateway,
    /// Live video. It serves WHIP and WHEP and passes on what lands here by mistake; routers give it no sessions of users.
    Relay,
}

impl Role {
    pub(crate) fn of_words(words: &[&str]) -> Option<Self> {
        match words {
            [] => Some(Self::All),
            ["gateway"] => Some(Self::Gateway),
            ["relay"] => Some(Self::Relay),
            _ => None,
        }
    }

    /// What the role says of the configuration, and what it asks of it.
    pub(crate) fn apply(self, loaded: &mut Loaded<Config>) {
        const MEDIA: &str = "media.enabled";
        let name = match self {
            Self::All => return,
            Self::Gateway => "gateway",
            Self::Relay => "relay",
        };
        let has_relay = self == Self::Relay;
        let media = loaded.effective.iter_mut().find(|effective| effective.key.path == MEDIA);
        let media = media.expect("the key is declared");
        let is_otherwise = loaded.settings.media.enabled != has_relay;
        if is_otherwise && media.place != Place::Default {
            loaded.refuse(
                MEDIA,
                format!("is not what `turnpike {name}` is"),
                "expected it not to be set, or `turnpike` without a role",
            );
        } else {
            media.shown = has_relay.to_string();
            loaded.settings.media.enabled = has_relay;
        }
        if loaded.settings.redis.nodes.0.is_empty() && !loaded.faults.concern("redis.nodes") {
            let problem = format!("is not set, and `turnpike {name}` is one part of a system alone");
            loaded.refuse("redis.nodes", problem, "expected the Redis Cluster that the parts share");
        }
    }
}
