//! The function library on the masters: there, and not older than this node's.

use std::fmt::Write as _;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use fred::types::Value;
use tracing::{info, warn};

use super::fault::Fault;
use super::link::{Command, Link};
use super::reply;

/// In this order: a function may use local ones of the files before its own.
const PARTS: [&str; 11] = [
    include_str!("../../lua/library.lua"),
    include_str!("../../lua/fence.lua"),
    include_str!("../../lua/messages.lua"),
    include_str!("../../lua/sessions.lua"),
    include_str!("../../lua/membership.lua"),
    include_str!("../../lua/presence.lua"),
    include_str!("../../lua/marks.lua"),
    include_str!("../../lua/directory.lua"),
    include_str!("../../lua/quota.lua"),
    include_str!("../../lua/occupancy.lua"),
    include_str!("../../lua/bulletin.lua"),
];

static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let text = PARTS.join("\n");
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("local VERSION = "))
        .and_then(|number| number.trim().parse().ok())
        .expect("the library says its version in a line of its own");
    let digest =
        digest(&SHA256, text.as_bytes()).as_ref().iter().take(8).fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
    Library { version, text: text.replace("@digest@", &digest), digest }
});

struct Library {
    version: u64,
    digest: String,
    text: String,
}

#[cfg(test)]
pub(super) fn text() -> &'static str {
    &LIBRARY.text
}

/// The version of this node's library.
pub(super) fn version() -> u64 {
    LIBRARY.version
}

/// Sees to it that the master has the library, and says which version it has then.
pub(crate) async fn ensure(link: &Link) -> Result<u64, Fault> {
    match installed(link).await? {
        Some((version, _)) if version > LIBRARY.version => {
            info!(master = %link.address(), version, own = LIBRARY.version, "a newer function library is kept");
            Ok(version)
        }
        Some((version, digest)) if version == LIBRARY.version && digest == LIBRARY.digest => Ok(version),
        _ => load(link).await,
    }
}

async fn installed(link: &Link) -> Result<Option<(u64, String)>, Fault> {
    match link.send(Command::new("FCALL_RO").arg("turnpike_version").arg(0i64)).await {
        Ok(answer) => Ok(described(&answer)),
        Err(Fault::NoFunction) => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn described(answer: &Value) -> Option<(u64, String)> {
    let parts = reply::array(answer)?;
    Some((reply::number(parts.first()?)?, reply::text(parts.get(1)?)?.to_owned()))
}

async fn load(link: &Link) -> Result<u64, Fault> {
    match link.send(Command::new("FUNCTION").arg("LOAD").arg("REPLACE").arg(LIBRARY.text.as_str())).await {
        Ok(_) => {
            info!(master = %link.address(), version = LIBRARY.version, "function library loaded");
            Ok(LIBRARY.version)
        }
        Err(fault) => {
            warn!(master = %link.address(), error = &fault as &dyn std::error::Error, "function library not loaded");
            Err(fault)
        }
    }
}
