//! `turnpike audit keys`: which keys there are, and new ones. Only public halves are ever printed.

use std::path::Path;

use serde_json::json;
use turnpike_audit::PublicKey;

use super::flags::Flags;
use super::key_file;

#[derive(Debug)]
pub(crate) struct Request {
    what: What,
    json: bool,
}

#[derive(Debug)]
pub(crate) enum What {
    Show,
    New,
    Rotate,
}

impl Request {
    pub(super) fn parse(flags: &mut Flags<'_>, what: What) -> Self {
        Self { what, json: flags.switch("json") }
    }
}

pub(super) fn execute(request: &Request, path: &Path, node: &str) -> anyhow::Result<()> {
    let keys: Vec<PublicKey> = match request.what {
        What::New => vec![key_file::make(path, node)?],
        What::Rotate => {
            let key = key_file::add(path)?;
            // The key is what scripts want; what it means is for people.
            crate::say(
                "this key signs from the next start on, and the one before signs for it once: keep both public keys",
            );
            vec![key]
        }
        What::Show => key_file::read(path)?.into_iter().map(|signer| signer.public().clone()).collect(),
    };
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    crate::print(&if request.json {
        json!({ "ok": true, "keys": keys }).to_string()
    } else {
        keys.join("\n")
    })
}
