//! `turnpike audit erase`: takes the personal values of somebody out of the log of a node that does not run. For one that runs, its admin API
//! does the same. The log says that it was done and how much, and not whose values they were.

use std::path::Path;

use anyhow::Context as _;
use serde_json::json;
use turnpike_audit::{Audit, Filter, Housekeeper, HousekeepingError, Kept, OpenError, Retention, Settings};

use super::flags::Flags;
use super::key_file;
use crate::terminal;

#[derive(Debug)]
pub(crate) struct Request {
    whom: Whom,
    json: bool,
}

/// Whose values go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whom {
    User(String),
    Address(String),
}

impl Request {
    pub(super) fn parse(flags: &mut Flags) -> Self {
        let (user, address) = (flags.text("user", "a user"), flags.text("address", "an address"));
        let whom = match (user, address) {
            (Some(user), None) => Whom::User(user),
            (None, Some(address)) => Whom::Address(address),
            (given, _) => {
                flags.fault("user", given.as_deref(), "expected either --user ID or --address IP");
                Whom::User(String::new())
            }
        };
        Self { whom, json: flags.switch("json") }
    }
}

pub(super) fn execute(
    request: &Request,
    directory: &Path,
    key_file: &Path,
    node: &str,
) -> anyhow::Result<()> {
    let settings = Settings { reserve_bytes: 0, ..Settings::new(directory, node) };
    let (audit, closing) = match Audit::open(&settings, key_file::read(key_file)?, Box::new(())) {
        Err(error @ OpenError::InUse { .. }) => {
            return Err(error).context("the node runs: ask it by POST /admin/v1/audit/erasures");
        }
        opened => opened?,
    };
    let bar = terminal::spinner("the log is written anew");
    let erased = erase(&Housekeeper::new(audit, directory, Retention::default()), &request.whom);
    closing.close();
    bar.finish_and_clear();
    let Kept { erased, rewritten, .. } = erased?;
    crate::print(&if request.json {
        json!({ "ok": true, "erased": erased, "files": rewritten }).to_string()
    } else {
        format!("{erased} values are erased from {rewritten} files now")
    })
}

/// Blocks for as long as it takes to rewrite all files that have some.
pub(crate) fn erase(housekeeper: &Housekeeper, whom: &Whom) -> Result<Kept, HousekeepingError> {
    let filters = match whom {
        // One's personal room bears one's name.
        Whom::User(user) => vec![
            Filter { user: Some(user.clone()), ..Filter::default() },
            Filter { room: Some(format!("user:{user}")), ..Filter::default() },
        ],
        Whom::Address(address) => vec![Filter { address: Some(address.clone()), ..Filter::default() }],
    };
    let mut sum = Kept::default();
    for filter in filters {
        let kept = housekeeper.erase(&filter)?;
        // Of a file that is rewritten twice the later count has the earlier one in it.
        sum.erased = sum.erased.max(kept.erased);
        sum.rewritten = sum.rewritten.max(kept.rewritten);
    }
    Ok(sum)
}
