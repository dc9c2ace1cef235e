//! What must hold between keys, and what production asks of them.

mod keys;
mod production;

use turnpike_daemon::config::{Loaded, Secret};
use turnpike_guard::SECRET_BYTES_MIN;

use super::turn::URLS_MAX;
use super::{Config, IceUrl, Kind, Origin};
use crate::development;

/// What no key can be wrong about alone.
pub(crate) fn check(loaded: &mut Loaded<Config>) {
    let Config { node, gateway, queue, recovery, history, limits, redis, api, webhooks, gates, turn, .. } =
        &loaded.settings;
    // A value that does not fit is treated as the strict one, so that the faults of production are in the same list.
    let production = node.environment == Kind::Production || loaded.faults.concern("node.environment");
    let any_beside_others =
        gateway.cors_origin.0.len() > 1 && gateway.cors_origin.0.iter().any(Origin::is_any);
    let media_anywhere = loaded.settings.media.enabled
        && loaded.settings.media.host.is_unspecified()
        && loaded.settings.media.announce.0.is_empty();
    let queue_upside_down = queue.soft_bytes > queue.hard_bytes;
    let history_too_short = history.age_max < recovery.window;
    let body_too_large = limits.body_bytes_max > limits.payload_bytes_max;

    let replies_too_slow = redis.reply_deadline > redis.publish_deadline.min(redis.call_deadline);

    let others_alone = !webhooks.others.0.is_empty() && webhooks.url.is_none();
    let unsigned = [
        ("webhooks.secret", "webhooks.url", webhooks.url.is_some() && webhooks.secret.is_none()),
        ("gates.secret", "gates.url", gates.url.is_some() && gates.secret.is_none()),
        (
            "turn.secret",
            "a TURN server in turn.urls",
            turn.secret.is_none() && turn.urls.0.iter().any(IceUrl::is_turn),
        ),
    ];
    let too_many_urls = turn.urls.0.len() > URLS_MAX;
    let short = |secret: &Option<Secret>| {
        secret.as_ref().map(|secret| secret.reveal().len()).filter(|length| *length < SECRET_BYTES_MIN)
    };
    let short_secrets = [
        ("api.key", short(&api.key)),
        ("api.key_next", short(&api.key_next)),
        ("webhooks.secret", short(&webhooks.secret)),
        ("webhooks.secret_next", short(&webhooks.secret_next)),
        ("webhooks.others", webhooks.others.0.iter().find_map(|other| short(&other.secret))),
        ("gates.secret", short(&gates.secret)),
        ("gates.secret_next", short(&gates.secret_next)),
        ("turn.secret", short(&turn.secret)),
    ];

    let addresses = &loaded.settings.addresses;
    let asks_for_countries = [
        ("addresses.country_allow", !addresses.country_allow.0.is_empty()),
        ("addresses.country_deny", !addresses.country_deny.0.is_empty()),
    ];
    let no_countries = addresses.country_file.is_none() && !loaded.faults.concern("addresses.country_file");

    for (key, reason, _) in unsigned.into_iter().filter(|(.., is_unsigned)| *is_unsigned) {
        if !loaded.faults.concern(key) {
            loaded.refuse(key, format!("is required with {reason}"), random_bytes());
        }
    }
    if too_many_urls {
        loaded.refuse("turn.urls", "has too many servers", format!("expected at most {URLS_MAX}"));
    }
    if others_alone {
        loaded.refuse("webhooks.others", "is set without webhooks.url", "expected the first receiver there");
    }
    for (key, length) in short_secrets {
        if let Some(length) = length {
            loaded.refuse(key, format!("has {length} bytes"), random_bytes());
        }
    }
    for (key, asks) in asks_for_countries {
        if asks && no_countries {
            loaded.refuse(
                key,
                "is set without addresses.country_file",
                "expected a database of countries there",
            );
        }
    }
    keys::check(loaded, production);
    if production {
        production::check(loaded);
    }
    if media_anywhere {
        loaded.refuse(
            "media.announce",
            "is not set, and media.host is every interface",
            "expected the addresses at which clients reach this machine",
        );
    }
    if any_beside_others {
        loaded.refuse("gateway.cors_origin", "has `*` beside origins", "expected either `*` or origins");
    }
    if queue_upside_down {
        loaded.refuse("queue.soft_bytes", "is above queue.hard_bytes", "expected at most queue.hard_bytes");
    }
    if history_too_short {
        loaded.refuse("history.age_max", "is below recovery.window", "expected at least recovery.window");
    }
    if body_too_large {
        loaded.refuse(
            "limits.body_bytes_max",
            "is above limits.payload_bytes_max",
            "expected at most limits.payload_bytes_max",
        );
    }
    if replies_too_slow {
        loaded.refuse(
            "redis.reply_deadline",
            "is above redis.publish_deadline or redis.call_deadline",
            "expected at most either of them: one lost connection must not use them up",
        );
    }
}

fn random_bytes() -> String {
    format!("expected at least {SECRET_BYTES_MIN} random bytes, as `openssl rand -base64 48` makes them")
}

/// Why a long enough secret is none.
pub(crate) fn secret_weakness(secret: &str) -> Option<&'static str> {
    /// Words from sample files. In 48 random base64 characters the shortest stands by chance once in a hundred thousand.
    const WORDS: &[&str] =
        &["secret", "changeme", "change-me", "change_me", "password", "example", "default", "turnpike"];
    const LETTERS_MIN: usize = 10;
    if secret.starts_with(development::SECRET_PREFIX) {
        return Some("is a development secret");
    }
    let lower = secret.to_ascii_lowercase();
    if WORDS.iter().any(|word| lower.contains(word)) {
        return Some("looks like the placeholder of a sample");
    }
    let mut letters: Vec<u8> = secret.bytes().collect();
    letters.sort_unstable();
    letters.dedup();
    // 32 random hexadecimal digits have 14 different ones on average, and fewer than 10 once in ten thousand.
    (letters.len() < LETTERS_MIN).then_some("repeats a few characters")
}
