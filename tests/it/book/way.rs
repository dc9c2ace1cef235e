//! How a block is tested: by its mark, else by its language.

use turnpike_book::{Block, Mark};

/// Scripts in `tests/node/book` that are no frames.
pub(super) const OWN_SCRIPTS: [&str; 1] = ["tutorial"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// In a shell, after the page's commands before it.
    Commands,
    /// In a shell, and it stays while the page's next blocks run: from when it has said this.
    Stays(String),
    /// Saved under this name where the page's commands run.
    File(String),
    /// Variables of the environment that configure the product.
    Environment,
    Toml,
    Json,
    Yaml,
    Ini,
    Http,
    /// Expressions, one a line.
    Promql,
    /// In Node as it stands.
    Program,
    /// In a frame.
    Frame(String),
    /// By another test.
    Elsewhere,
    NotRun,
}

impl Way {
    pub(super) fn of(block: &Block) -> Result<Self, String> {
        let by_language = || match block.language.as_str() {
            "sh" if is_environment(&block.text) => Ok(Self::Environment),
            "sh" => Ok(Self::Commands),
            "js" => Ok(Self::Program),
            "json" => Ok(Self::Json),
            "toml" => Ok(Self::Toml),
            "yaml" => Ok(Self::Yaml),
            "ini" => Ok(Self::Ini),
            "http" => Ok(Self::Http),
            "promql" => Ok(Self::Promql),
            other => Err(format!("nobody knows how to test `{other}`; a mark above the block can say")),
        };
        match &block.mark {
            None => by_language(),
            Some(Mark::In(name)) => Ok(Self::Frame(name.clone())),
            Some(Mark::File(name)) => Ok(Self::File(name.clone())),
            Some(Mark::Until(text)) => Ok(Self::Stays(text.clone())),
            Some(Mark::RunBy(_) | Mark::Made) => Ok(Self::Elsewhere),
            Some(Mark::NotRun(_)) => Ok(Self::NotRun),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Commands => "commands",
            Self::Stays(_) => "commands that stay",
            Self::File(_) => "files",
            Self::Environment => "environment",
            Self::Toml => "toml",
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::Ini => "ini",
            Self::Http => "http",
            Self::Promql => "promql",
            Self::Program => "programs",
            Self::Frame(_) => "in a frame",
            Self::Elsewhere => "run by another test",
            Self::NotRun => "not run",
        }
    }
}

/// `NAME=value` on every line, and no command behind it.
fn is_environment(text: &str) -> bool {
    text.lines().all(|line| assignment(line).is_some())
}

/// The name and the value of such a line, its comment left out.
pub(super) fn assignment(line: &str) -> Option<(&str, &str)> {
    let line = line.split(" #").next()?.trim();
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    let quoted = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    let value =
        quoted('\'').or_else(|| quoted('"')).or_else(|| (!value.contains([' ', '$'])).then_some(value))?;
    is_name.then_some((name, value))
}
