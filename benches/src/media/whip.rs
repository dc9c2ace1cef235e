//! WHIP and WHEP: an offer is posted, its answer comes back.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;

use super::{
    description::{self, Ours, Role, Theirs},
    http::{self, Request},
};

/// How often a request is sent to another place.
const REDIRECTS_MAX: usize = 3;

pub(crate) fn negotiate(
    source: Ipv4Addr,
    target: SocketAddr,
    token: &str,
    role: Role,
    stream: u32,
    ours: &Ours<'_>,
) -> anyhow::Result<Theirs> {
    let place = if role == Role::Publisher { "whip" } else { "whep" };
    let offer = description::offer(ours, role);
    let (mut target, mut path) = (target, format!("/{place}/bench-{stream}"));
    for _ in 0..=REDIRECTS_MAX {
        let request = Request {
            method: "POST",
            path: &path,
            token: Some(token),
            content_type: "application/sdp",
            body: &offer,
        };
        let response = http::send(source, target, &request)?;
        match response.status {
            201 => return Theirs::parse(&response.body),
            307 => {
                let location = response.header("location").context("a redirect to nowhere")?;
                let rest = location.strip_prefix("http://").context("a redirect to something else")?;
                let (host, rest) = rest.split_once('/').context("a redirect without a path")?;
                target = host.parse()?;
                path = format!("/{rest}");
            }
            status => anyhow::bail!("{path} was answered {status}: {}", response.body),
        }
    }
    anyhow::bail!("{path} leads in circles")
}
