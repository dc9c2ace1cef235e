//! `Link` headers (RFC 8288): servers that help with ICE (RFC 9725 4.6), and extensions (4.9).

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderValue, header};

#[derive(Debug, Clone)]
pub struct IceServer {
    /// `turn:turn.example.org:3478?transport=udp`
    pub url: String,
    pub username: Option<String>,
    pub credential: Option<String>,
}

pub(super) fn add_ice_servers(headers: &mut HeaderMap, servers: &[IceServer]) {
    for server in servers {
        let mut link = format!("<{}>; rel=\"ice-server\"", server.url);
        if let (Some(username), Some(credential)) = (&server.username, &server.credential) {
            let _ = write!(
                link,
                "; username=\"{}\"; credential=\"{}\"; credential-type=\"password\"",
                quoted(username),
                quoted(credential)
            );
        }
        add(headers, &link);
    }
}

/// What a viewer can do beside watching.
pub(super) fn add_extensions(headers: &mut HeaderMap, session: &str, events: &str) {
    const NAME: &str = "urn:ietf:params:whep:ext:core";
    add(headers, &format!("<{session}/events>; rel=\"{NAME}:server-sent-events\"; events=\"{events}\""));
    add(headers, &format!("<{session}/layer>; rel=\"{NAME}:layer\""));
}

fn add(headers: &mut HeaderMap, link: &str) {
    // An address from the configuration that cannot stand in a header is left out.
    if let Ok(value) = HeaderValue::from_str(link) {
        headers.append(header::LINK, value);
    }
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
