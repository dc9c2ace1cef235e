//! Why a process takes nobody in, in its own words or in the system's. The connections that work is done on say only that
//! they have ended.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::redis::address::Address;
use crate::redis::config::RedisConfig;
use crate::redis::fault::Fault;

/// None: it answers, so it was chance.
pub(super) async fn why(address: &Address, config: &RedisConfig) -> Option<Fault> {
    let patience: Duration = config.reply_deadline;
    match timeout(patience, knock(address, config)).await {
        Ok(Ok(line)) => line.strip_prefix('-').map(|error| Fault::Refused(error.trim_end().into())),
        Ok(Err(error)) => Some(Fault::Lost(error.to_string().into())),
        Err(_) => Some(Fault::Lost("it is there and says nothing".into())),
    }
}

/// The first line of what it answers.
async fn knock(address: &Address, config: &RedisConfig) -> std::io::Result<String> {
    let stream = TcpStream::connect((&*address.host, address.port)).await?;
    let mut words: Vec<&str> = Vec::new();
    if let Some(password) = &config.password {
        words.push("AUTH");
        words.extend(config.username.as_deref());
        words.push(password);
    } else {
        words.push("PING");
    }
    let mut out = format!("*{}\r\n", words.len());
    for word in words {
        out.extend([&format!("${}\r\n", word.len()), word, "\r\n"]);
    }
    let mut stream = BufReader::new(stream);
    stream.write_all(out.as_bytes()).await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    Ok(line)
}
