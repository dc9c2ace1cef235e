//! Where the load goes and where it comes from: the addresses that were given and no others.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};

use reqwest::Url;

use crate::schedule::mixed;

#[derive(Clone, Debug)]
pub struct Places {
    /// There is one at least. Requests over HTTP go to the first.
    hosts: Vec<Host>,
    /// Nothing but this machine is loaded.
    is_near: bool,
    sources: Vec<Ipv4Addr>,
}

#[derive(Clone, Debug)]
struct Host {
    /// As it was given, for requests and their `Host`.
    url: Url,
    addresses: Vec<SocketAddr>,
}

/// Where one user goes, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    url: &'a Url,
    pub address: SocketAddr,
    /// The address that it comes from, if it is not the machine's own choice.
    pub source: Option<Ipv4Addr>,
}

#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("{option}: {host:?} is no URL like http://127.0.0.1:3010")]
    Url { option: &'static str, host: String },
    #[error("{option}: {host} has a path, and the paths are those of the protocols: leave it out")]
    Path { option: &'static str, host: String },
    #[error("{option}: {host} is nowhere: {error}")]
    Nowhere { option: &'static str, host: String, error: std::io::Error },
    #[error(
        "{option}: {host} is {address}, which is another machine. Load on machines of others is an attack: with --allow-remote you \
         say that you may"
    )]
    Remote { option: &'static str, host: String, address: IpAddr },
    #[error("--sources: from 1 to 200, and for servers on 127.0.0.0/8 alone")]
    Sources,
}

/// Ports of one address, less those that the machine keeps or that still wait.
const USERS_PER_SOURCE: u32 = 20_000;
const SOURCES_MAX: u32 = 200;

impl Places {
    /// Looks the hosts up, once: whatever a name means later, the load goes where it was allowed to go.
    pub fn find(
        hosts: &[String],
        users: u32,
        sources: Option<u32>,
        remote: bool,
    ) -> Result<Self, PlaceError> {
        let find = |host: &String| {
            let (url, addresses) = look_up("--host", host, remote)?;
            if url.path() == "/" && url.query().is_none() {
                Ok(Host { url, addresses })
            } else {
                Err(PlaceError::Path { option: "--host", host: host.clone() })
            }
        };
        let hosts: Vec<Host> = hosts.iter().map(find).collect::<Result<_, _>>()?;
        if hosts.is_empty() {
            return Err(PlaceError::Url { option: "--host", host: String::new() });
        }
        let addresses: Vec<SocketAddr> =
            hosts.iter().flat_map(|host| host.addresses.iter().copied()).collect();
        let sources = Self::choose_sources(&addresses, users, sources)?;
        Ok(Self { hosts, is_near: !remote, sources })
    }

    fn choose_sources(
        addresses: &[SocketAddr],
        users: u32,
        wanted: Option<u32>,
    ) -> Result<Vec<Ipv4Addr>, PlaceError> {
        let near = addresses.iter().all(|address| matches!(address.ip(), IpAddr::V4(ip) if ip.is_loopback()));
        if !near {
            return if wanted.is_none_or(|wanted| wanted == 1) {
                Ok(Vec::new())
            } else {
                Err(PlaceError::Sources)
            };
        }
        let count = wanted.unwrap_or(users.div_ceil(USERS_PER_SOURCE).max(1));
        if !(1..=SOURCES_MAX).contains(&count) {
            return Err(PlaceError::Sources);
        }
        if count == 1 {
            // The machine comes from 127.0.0.1 by itself, and finds a port faster when it knows where the connection goes.
            return Ok(Vec::new());
        }
        Ok((1..=count).map(|last| Ipv4Addr::new(127, 0, 0, last as u8)).collect())
    }

    /// Where a user goes that has turned to the next host so many times.
    pub fn place(&self, user: u32, turns: u32) -> Place<'_> {
        // By chance, the same each time: members of a room begin at all of them.
        let home = mixed(u64::from(user)) as usize;
        let host = &self.hosts[home.wrapping_add(turns as usize) % self.hosts.len()];
        Place {
            url: &host.url,
            address: host.addresses[user as usize % host.addresses.len()],
            source: (!self.sources.is_empty()).then(|| self.sources[user as usize % self.sources.len()]),
        }
    }

    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// The first, where requests over HTTP go.
    pub fn host(&self) -> &Url {
        &self.hosts[0].url
    }

    /// All of them, for people.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.hosts.iter().map(|host| host.url.as_str()).collect();
        names.join(", ")
    }

    pub fn addresses(&self) -> &[SocketAddr] {
        &self.hosts[0].addresses
    }

    pub fn is_near(&self) -> bool {
        self.is_near
    }

    /// Where media comes from.
    pub fn media_address(&self) -> &'static str {
        match (self.is_near, self.addresses().iter().any(SocketAddr::is_ipv4)) {
            (true, true) => "127.0.0.1:0",
            (true, false) => "[::1]:0",
            (false, true) => "0.0.0.0:0",
            (false, false) => "[::]:0",
        }
    }

    /// For requests: the name is not looked up again.
    pub fn name(&self) -> &str {
        bare(self.host().host_str().unwrap_or_default())
    }
}

impl Place<'_> {
    /// The name by which the server proves who it is, if it must.
    pub fn secured(&self) -> Option<&str> {
        (self.url.scheme() == "https").then(|| bare(self.url.host_str().unwrap_or_default()))
    }

    /// Of the websocket at this path.
    pub fn websocket(&self, path: &str) -> String {
        let port = self.url.port_or_known_default().unwrap_or(80);
        let scheme = if self.secured().is_some() { "wss" } else { "ws" };
        format!("{scheme}://{}:{port}{path}", self.url.host_str().unwrap_or_default())
    }
}

/// An address of version 6 stands in brackets.
fn bare(name: &str) -> &str {
    name.trim_matches(['[', ']'])
}

/// Where a URL leads to; other machines only if they may be loaded.
pub fn look_up(option: &'static str, host: &str, remote: bool) -> Result<(Url, Vec<SocketAddr>), PlaceError> {
    let fault = || PlaceError::Url { option, host: host.to_owned() };
    let url = Url::parse(host).map_err(|_| fault())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(fault());
    }
    let name = url.host_str().ok_or_else(fault)?;
    let found = (bare(name), url.port_or_known_default().unwrap_or(80)).to_socket_addrs();
    let found = found.map_err(|error| PlaceError::Nowhere { option, host: host.to_owned(), error })?;
    let addresses: Vec<SocketAddr> = found.collect();
    if let Some(far) = addresses.iter().find(|address| !remote && !address.ip().is_loopback()) {
        return Err(PlaceError::Remote { option, host: host.to_owned(), address: far.ip() });
    }
    Ok((url, addresses))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(hosts: &[&str], users: u32, sources: Option<u32>, remote: bool) -> Result<Places, PlaceError> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        Places::find(&hosts, users, sources, remote)
    }

    #[test]
    fn other_machines_are_left_alone_unless_that_is_allowed() {
        for host in ["http://192.0.2.1:80", "http://10.0.0.1", "http://[2001:db8::1]:80"] {
            for hosts in [&[host][..], &["http://127.0.0.1:1", host]] {
                let fault = find(hosts, 1, None, false).unwrap_err();
                assert!(matches!(fault, PlaceError::Remote { .. }), "{host}: {fault}");
                assert!(fault.to_string().contains("--allow-remote"));
                assert!(find(hosts, 1, None, true).is_ok(), "{host}");
            }
        }
        for host in ["http://127.0.0.1:3010", "http://[::1]:3010", "http://localhost:3010/"] {
            assert!(find(&[host], 1, None, false).is_ok(), "{host}");
        }
        for host in
            ["127.0.0.1:3010", "ftp://127.0.0.1", "nothing", "http://127.0.0.1/ws", "http://127.0.0.1/?x"]
        {
            assert!(find(&[host], 1, None, true).is_err(), "{host}");
        }
    }

    #[test]
    fn many_users_come_from_several_addresses() {
        let places = find(&["http://127.0.0.1:1"], 50_000, None, false).unwrap();
        assert_eq!(places.sources.len(), 3);
        assert_eq!(places.place(4, 0).source, Some(Ipv4Addr::new(127, 0, 0, 2)));
        assert_eq!(places.place(0, 0).websocket("/ws"), "ws://127.0.0.1:1/ws");
        let secured = find(&["https://[::1]"], 1, None, false).unwrap();
        let place = secured.place(0, 0);
        assert_eq!((place.websocket("/ws").as_str(), place.secured()), ("wss://[::1]:443/ws", Some("::1")));
        assert!(find(&["http://127.0.0.1:1"], 1, Some(201), false).is_err());
        assert!(find(&["http://192.0.2.1:1"], 1, Some(2), true).is_err());
    }

    #[test]
    fn users_are_shared_among_hosts_and_turn_to_the_next() {
        let places = find(&["http://127.0.0.1:1", "http://127.0.0.1:2"], 4, None, false).unwrap();
        let port = |user, turns| places.place(user, turns).address.port();
        for members in 1..=4 {
            let first = (0..1_000).filter(|number| port(number * members, 0) == 1).count();
            assert!((400..600).contains(&first), "{first} of every {members}th");
        }
        for user in 0..10 {
            assert_eq!(port(user, 2), port(user, 0));
            assert_ne!(port(user, 1), port(user, 0));
        }
        assert_eq!(places.names(), "http://127.0.0.1:1/, http://127.0.0.1:2/");
    }
}
