//! `turnpike audit`: reading, verifying and proving the audit log, and its keys.
//!
//! All of it works on files: on a copy as well as beside a running process, and with the public key alone where nothing is signed.

mod anchors;
pub(crate) mod erase;
mod flags;
pub(crate) mod key_file;
mod keys;
mod line;
mod moment;
mod prove;
mod show;
mod tail;
mod verify;

use std::process::ExitCode;

use turnpike_daemon::config::{Arguments, Faults};

use self::flags::Flags;
pub(crate) use self::line::SPEC;
pub(crate) use self::moment::moment;
pub(crate) use self::verify::report_json;
use crate::config::Config;

/// What is asked.
#[derive(Debug)]
pub(crate) enum Request {
    Verify(verify::Request),
    Tail(tail::Request),
    Query(show::Request),
    Export(show::Request),
    Prove(prove::Request),
    Keys(keys::Request),
    Erase(erase::Request),
    Anchors { json: bool },
    CompareAnchors(anchors::Compare),
}

impl Request {
    /// `words` are those after `audit`. `None` if there is no such command; faults of flags are pushed.
    pub(crate) fn parse(words: &[&str], arguments: &mut Arguments, faults: &mut Faults) -> Option<Self> {
        let mut flags = Flags::new(arguments, faults);
        Some(match words {
            ["verify"] => Self::Verify(verify::Request::parse(&mut flags)),
            ["tail"] => Self::Tail(tail::Request::parse(&mut flags)),
            ["query"] => Self::Query(show::Request::parse(&mut flags, show::Form::Text)),
            ["export"] => Self::Export(show::Request::parse(&mut flags, show::Form::LINES)),
            ["prove"] => Self::Prove(prove::Request::parse(&mut flags)),
            ["erase"] => Self::Erase(erase::Request::parse(&mut flags)),
            ["anchors"] => Self::Anchors { json: flags.switch("json") },
            ["anchors", "compare"] => Self::CompareAnchors(anchors::Compare::parse(&mut flags)),
            ["keys"] => Self::Keys(keys::Request::parse(&mut flags, keys::What::Show)),
            ["keys", "new"] => Self::Keys(keys::Request::parse(&mut flags, keys::What::New)),
            ["keys", "rotate"] => Self::Keys(keys::Request::parse(&mut flags, keys::What::Rotate)),
            _ => return None,
        })
    }
}

pub(crate) fn execute(request: &Request, config: &Config) -> anyhow::Result<ExitCode> {
    let directory = config.audit.directory(&config.node.data_dir);
    let key_file = config.audit.keys(&config.node.data_dir);
    match request {
        Request::Verify(request) => return verify::execute(request, &directory, &key_file),
        Request::CompareAnchors(request) => return anchors::compare(request, config, &key_file),
        Request::Tail(request) => tail::execute(request, &directory),
        Request::Query(request) | Request::Export(request) => show::execute(request, &directory),
        Request::Prove(request) => prove::execute(request, &directory, &key_file),
        Request::Keys(request) => keys::execute(request, &key_file, &config.node_id()),
        Request::Erase(request) => erase::execute(request, &directory, &key_file, &config.node_id()),
        Request::Anchors { json } => anchors::execute(config, *json),
    }?;
    Ok(ExitCode::SUCCESS)
}
