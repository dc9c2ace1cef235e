//! `turnpike audit keys`: which keys there are, and new ones. Only public halves are ever printed.

use std::fmt::Write as _;
use std::path::Path;

use super::key_file;

#[derive(Debug)]
pub(crate) enum Request {
    Show,
    New,
    Rotate,
}

pub(super) fn execute(request: &Request, path: &Path, node: &str) -> anyhow::Result<()> {
    match request {
        Request::New => crate::print(&key_file::make(path, node)?.to_string()),
        Request::Rotate => {
            let key = key_file::add(path)?;
            // The key is what scripts want; what it means is for people.
            crate::say(
                "this key signs from the next start on, and the one before signs for it once: keep both public keys",
            );
            crate::print(&key.to_string())
        }
        Request::Show => {
            let mut text = String::new();
            for signer in key_file::read(path)? {
                let _ = writeln!(text, "{}", signer.public());
            }
            crate::print(text.trim_end())
        }
    }
}
