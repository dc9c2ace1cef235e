//! One connection to one Redis process: a command out, a reply in. No pool, no redirects, no retries.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context as _, bail};

/// Beyond it a node counts as one that does not answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
const CONNECT_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Array(Vec<Self>),
    Nil,
}

impl Reply {
    /// Itself, unless it is an error.
    pub fn sound(self) -> anyhow::Result<Self> {
        match self {
            Self::Error(error) => bail!("Redis answers: {error}"),
            reply => Ok(reply),
        }
    }

    /// As words, whatever it is.
    pub fn text(&self) -> String {
        match self {
            Self::Simple(text) | Self::Error(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Array(items) => items.iter().map(Self::text).collect::<Vec<_>>().join(" "),
            Self::Nil => String::new(),
        }
    }

    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Bulk(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// Empty for whatever is no array.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }
}

#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(address: (&str, u16)) -> anyhow::Result<Self> {
        let (host, port) = address;
        let resolved = address.to_socket_addrs()?.next().with_context(|| format!("{host} is nowhere"))?;
        let stream = TcpStream::connect_timeout(&resolved, CONNECT_MAX)
            .with_context(|| format!("{host}:{port} takes no connection"))?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// To a node of this machine, as the user `default` if there is a password.
    pub(crate) fn signed_in(port: u16, password: Option<&str>) -> anyhow::Result<Self> {
        let mut connection = Self::open(("127.0.0.1", port))?;
        if let Some(password) = password {
            connection.command(&["AUTH", password])?.sound()?;
        }
        Ok(connection)
    }

    pub fn command(&mut self, command: &[&str]) -> anyhow::Result<Reply> {
        self.command_bytes(&command.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
    }

    pub fn command_bytes(&mut self, command: &[&[u8]]) -> anyhow::Result<Reply> {
        let mut out = format!("*{}\r\n", command.len()).into_bytes();
        for word in command {
            out.extend(format!("${}\r\n", word.len()).into_bytes());
            out.extend(*word);
            out.extend(b"\r\n");
        }
        self.stream.get_mut().write_all(&out)?;
        self.reply()
    }

    /// The next one; after a subscription more come without a command.
    pub fn reply(&mut self) -> anyhow::Result<Reply> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let Some(line) = line.strip_suffix("\r\n") else { bail!("the connection has ended") };
        let (kind, rest) = line.split_at_checked(1).context("an empty line is no reply")?;
        Ok(match kind {
            "+" => Reply::Simple(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(rest.parse()?),
            "$" => match usize::try_from(rest.parse::<i64>()?) {
                Err(_) => Reply::Nil,
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.stream.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Reply::Bulk(bytes)
                }
            },
            "*" => match usize::try_from(rest.parse::<i64>()?) {
                Err(_) => Reply::Nil,
                Ok(length) => Reply::Array((0..length).map(|_| self.reply()).collect::<anyhow::Result<_>>()?),
            },
            _ => bail!("this is no reply: {line}"),
        })
    }
}
