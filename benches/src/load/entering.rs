//! The way in: the upgrade request, what must be true of its answer, and the token of a user.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{EncodingKey, Header};

use super::{
    connection::{Connection, Inflater, Stage},
    fleet::text,
};

/// The handshake's key is always the same, so the answer to it is known (RFC 6455 1.3).
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// What a browser offers.
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
pub(crate) fn request(target: SocketAddr, deflate: bool) -> String {
    let offer = if deflate { OFFER } else { "" };
    format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {target}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n"
    )
}

/// Reads the response to the upgrade; returns what came behind it once it is whole.
pub(crate) fn upgraded(connection: &mut Connection) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(end) = memchr::memmem::find(&connection.response, b"\r\n\r\n") else { return Ok(None) };
    let response = std::mem::take(&mut connection.response);
    let (head, rest) = response.split_at(end + 4);
    anyhow::ensure!(head.starts_with(b"HTTP/1.1 101 "), "no upgrade: {}", text(head));
    anyhow::ensure!(memchr::memmem::find(head, ACCEPT).is_some(), "wrong accept key: {}", text(head));
    let deflates = memchr::memmem::find(head, b"permessage-deflate").is_some();
    anyhow::ensure!(
        deflates == connection.deflate,
        "deflate offered: {}, taken: {deflates}",
        connection.deflate
    );
    if deflates {
        let keeps_context = memchr::memmem::find(head, b"server_no_context_takeover").is_none();
        connection.inflater = Some(Box::new(Inflater::new(keeps_context)));
    }
    connection.stage = Stage::Opening;
    Ok(Some(rest.to_vec()))
}

/// How long to stay away, if the answer to the upgrade is that there are too many.
pub(crate) fn turned_away(response: &[u8]) -> Option<Duration> {
    if !response.starts_with(b"HTTP/1.1 503 ") && !response.starts_with(b"HTTP/1.1 429 ") {
        return None;
    }
    let end = memchr::memmem::find(response, b"\r\n\r\n")?;
    let (head, body) = (text(&response[..end]).to_ascii_lowercase(), text(&response[end..]));
    let number = |text: &str, name: &str| -> Option<u64> {
        let digits = text.split_once(name)?.1.trim_start();
        digits.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
    };
    let wait_ms = number(&body, "\"retry_after_ms\":");
    let wait_ms = wait_ms.or_else(|| Some(number(&head, "retry-after:")? * 1_000));
    Some(Duration::from_millis(wait_ms.unwrap_or(1_000)))
}

pub(crate) fn token(secret: &EncodingKey, user: u32) -> anyhow::Result<String> {
    #[derive(serde::Serialize)]
    struct Claims {
        sub: String,
        iat: u64,
        exp: u64,
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = Claims { sub: format!("user-{user}"), iat: now, exp: now + 3_600 };
    Ok(jsonwebtoken::encode(&Header::default(), &claims, secret)?)
}
