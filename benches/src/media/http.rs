//! One request at a time over a connection of its own: what a WHIP or WHEP client does once in its life.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::Context as _;

const PATIENCE: Duration = Duration::from_secs(10);
/// How often a request is sent to another place.
const REDIRECTS_MAX: usize = 3;

/// Posts an offer from one of this machine's own addresses, and gives the answer.
pub(crate) fn post(
    source: Ipv4Addr,
    target: SocketAddr,
    path: &str,
    token: &str,
    offer: &str,
) -> anyhow::Result<String> {
    let (mut target, mut path) = (target, path.to_owned());
    for _ in 0..=REDIRECTS_MAX {
        let response = exchange(source, target, &path, token, offer)?;
        let (head, body) = response.split_once("\r\n\r\n").context("no end of the head")?;
        let status = head.split(' ').nth(1).context("no status")?;
        match status {
            "201" => return Ok(unchunked(head, body)),
            "307" => {
                let location = header(head, "location").context("a redirect to nowhere")?;
                let rest = location.strip_prefix("http://").context("a redirect to something else")?;
                let (host, rest) = rest.split_once('/').context("a redirect without a path")?;
                target = host.parse()?;
                path = format!("/{rest}");
            }
            _ => anyhow::bail!("{path} was answered {status}: {body}"),
        }
    }
    anyhow::bail!("{path} leads in circles")
}

fn exchange(
    source: Ipv4Addr,
    target: SocketAddr,
    path: &str,
    token: &str,
    offer: &str,
) -> anyhow::Result<String> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect_timeout(&target.into(), PATIENCE)?;
    let mut stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = offer.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {target}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/sdp\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{offer}"
    );
    stream.write_all(request.as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response)
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

fn unchunked(head: &str, body: &str) -> String {
    if header(head, "transfer-encoding").is_none() {
        return body.to_owned();
    }
    let (mut rest, mut whole) = (body, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        let Some(chunk) = after.get(..size).filter(|_| size > 0) else { break };
        whole.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_in_pieces_are_put_together() {
        let head = "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked";
        assert_eq!(unchunked(head, "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), "abcde");
        assert_eq!(unchunked("HTTP/1.1 201 Created\r\nContent-Length: 3", "abc"), "abc");
    }
}
