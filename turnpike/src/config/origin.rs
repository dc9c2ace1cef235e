//! Origins of web pages, as browsers send them.

use std::net::Ipv6Addr;

use turnpike_daemon::config::Setting;

/// `*`, or an origin as browsers send it: scheme, host, and the port unless it is the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin(String);

impl Origin {
    pub(crate) fn is_any(&self) -> bool {
        self.0 == "*"
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for Origin {
    const EXPECTS: &'static str =
        "`*`, or origins such as `https://app.example.com` or `http://localhost:5173`";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self(text.into()));
        }
        let (scheme, authority) = text.split_once("://").ok_or("is not an origin")?;
        if !["http", "https"].contains(&scheme) {
            return Err("has another scheme than http and https".into());
        }
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address stand in brackets.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host_is_sound = match bracketed {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            // Browsers send it in lower case, and it is compared exactly: what could never match is a slip.
            None => {
                !host.is_empty()
                    && host.bytes().all(|byte| {
                        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.'
                    })
            }
        };
        if !host_is_sound {
            return Err("has no host in lower case, or more than scheme, host and port".into());
        }
        match port {
            Some("80") if scheme == "http" => Err("names a port that browsers leave out".into()),
            Some("443") if scheme == "https" => Err("names a port that browsers leave out".into()),
            Some(port) if port.parse::<u16>().is_err() => Err("has no port after the colon".into()),
            _ => Ok(Self(text.into())),
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}
