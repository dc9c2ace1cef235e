//! What this process needs of its machine, whether there is a Redis Cluster or not.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use turnpike_cluster::redis::check::Finding;
use turnpike_daemon::descriptors;

use crate::announce::reachable;
use crate::config::Config;
use crate::redis;

/// What a distribution gives to whoever does not ask; a gateway outgrows it in its first minute.
const DESCRIPTORS_MIN: u64 = 10_000;
/// Of a process on this machine.
const ANSWER_MAX: Duration = Duration::from_secs(3);
const ANSWER_BYTES_MAX: usize = 4096;
/// Of both listeners to the question whether they live.
const ANSWER: &[u8] = b"{\"status\":\"ok\"}\n";

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let mut findings = vec![
        files(config),
        descriptors(config),
        port("port", SocketAddr::new(config.gateway.host, config.gateway.port), "HOST and PORT"),
        port(
            "admin-port",
            SocketAddr::new(config.admin.host, config.admin.port),
            "ADMIN_HOST and ADMIN_PORT",
        ),
    ];
    findings.extend(media(config));
    findings.push(secret(config));
    findings.extend(address(config));
    findings
}

/// By writing there: rights alone do not say whether the disk is full or mounted for reading only.
fn files(config: &Config) -> Finding {
    const CHECK: &str = "data-dir";
    let directory = &config.node.data_dir;
    let shown = std::path::absolute(directory).unwrap_or_else(|_| directory.clone());
    let shown = shown.display();
    let trial = directory.join(format!(".doctor-{}", std::process::id()));
    let existed = directory.exists();
    let written = std::fs::create_dir_all(directory).and_then(|()| std::fs::write(&trial, "?"));
    let _ = std::fs::remove_file(&trial);
    if !existed {
        // Looking is no reason to leave something behind. It stays if somebody else has put something there.
        let _ = std::fs::remove_dir(directory);
    }
    match written {
        Ok(()) => Finding::ok(CHECK, format!("{shown} can be written")),
        Err(error) => Finding::fail(
            CHECK,
            format!("{shown} cannot be written: {error}"),
            "set DATA_DIR to a directory that this user may write",
        ),
    }
}

fn descriptors(config: &Config) -> Finding {
    const CHECK: &str = "file-descriptors";
    let limit = descriptors::raise().limit;
    let wanted = config.gateway.connections_max.map_or(DESCRIPTORS_MIN, u64::from);
    let what = format!("{limit} for this process");
    if limit < wanted {
        let what = format!("{what}, and each connection takes one: too few for {wanted}");
        return Finding::warn(
            CHECK,
            what,
            "raise the hard limit: LimitNOFILE=1048576 in the unit, or `ulimit -Hn`",
        );
    }
    Finding::ok(CHECK, what)
}

fn port(check: &'static str, address: SocketAddr, keys: &str) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) if address.port() == 0 => Finding::ok(check, "left to the system"),
        Ok(_) => Finding::ok(check, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_turnpike(reachable(address)) => {
            Finding::ok(check, format!("{address}: a Turnpike is there already"))
        }
        Err(error) => Finding::fail(
            check,
            format!("{address} cannot be listened on: {error}"),
            format!("set {keys} to another place, or end what is there (`ss -ltnp` names it)"),
        ),
    }
}

/// The ports of the relay, and that of its links: those who send datagrams to a port that somebody else has are not told.
fn media(config: &Config) -> Vec<Finding> {
    let (media, links) = (&config.media, &config.links);
    if !media.enabled {
        return Vec::new();
    }
    let shards = media.shards.unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(1, |count| u16::try_from(count.get()).unwrap_or(u16::MAX))
    });
    let gateway = reachable(SocketAddr::new(config.gateway.host, config.gateway.port));
    let mut findings =
        vec![datagrams("media-ports", media.host, media.port, shards, gateway, "MEDIA_HOST and MEDIA_PORT")];
    if !config.redis.nodes.0.is_empty() {
        let host = links.host.unwrap_or(config.gateway.host);
        let keys = "TURNPIKE_LINK_HOST and TURNPIKE_LINK_PORT";
        findings.push(datagrams("link-port", host, links.port, 1, gateway, keys));
    }
    findings
}

fn datagrams(
    check: &'static str,
    host: IpAddr,
    first: u16,
    count: u16,
    gateway: SocketAddr,
    keys: &str,
) -> Finding {
    if first == 0 {
        return Finding::ok(check, "left to the system");
    }
    let last = first.saturating_add(count - 1);
    let taken =
        (first..=last).find_map(|port| UdpSocket::bind((host, port)).err().map(|error| (port, error)));
    match taken {
        None => Finding::ok(check, format!("{host}, {first} to {last}, are free for datagrams")),
        Some((_, error)) if error.kind() == ErrorKind::AddrInUse && is_turnpike(gateway) => {
            Finding::ok(check, format!("{host}, {first} to {last}: a Turnpike is there already"))
        }
        Some((port, error)) => Finding::fail(
            check,
            format!("{host}:{port} cannot be listened on for datagrams: {error}"),
            format!("set {keys} to another place, or end what is there (`ss -lunp` names it)"),
        ),
    }
}

/// Whether it answers as both of our listeners do.
fn is_turnpike(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        write!(stream, "GET /live HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let (mut answer, mut bytes) = (Vec::new(), [0; 1024]);
        // It need not close the connection afterwards.
        while answer.len() < ANSWER_BYTES_MAX && !answer.ends_with(ANSWER) {
            match stream.read(&mut bytes)? {
                0 => break,
                count => answer.extend(&bytes[..count]),
            }
        }
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(ANSWER))
}

/// Production refuses a weak one before anything else is done, so what is left are the habits of development.
fn secret(config: &Config) -> Finding {
    const CHECK: &str = "secret";
    const REMEDY: &str = "set JWT_SECRET to what `openssl rand -base64 48` prints";
    let auth = &config.auth;
    match &auth.jwt_secret {
        None if auth.cluster_secret.is_some()
            && !(auth.public_keys.0.is_empty() && auth.jwks_url.is_none()) =>
        {
            Finding::ok(CHECK, "tokens are signed with private keys, which are elsewhere")
        }
        None if !config.redis.nodes.0.is_empty() => Finding::warn(
            CHECK,
            "none is set: nodes with other data directories make others, and refuse each other's tokens",
            REMEDY,
        ),
        None => Finding::ok(CHECK, "made for development on first use"),
        Some(secret) => match crate::config::secret_weakness(secret.reveal()) {
            None => Finding::ok(CHECK, format!("{} bytes", secret.reveal().len())),
            Some(weakness) => Finding::warn(CHECK, format!("it {weakness}: production refuses it"), REMEDY),
        },
    }
}

/// Whether others can reach what is told to them.
fn address(config: &Config) -> Option<Finding> {
    const CHECK: &str = "address";
    if config.redis.nodes.0.is_empty() {
        return None;
    }
    let gateway = SocketAddr::new(config.gateway.host, config.gateway.port);
    let remedy = "set TURNPIKE_ADVERTISE_ADDRESS to an address of this machine, and HOST to it or to 0.0.0.0";
    let Some(address) = redis::advertised(config, gateway) else {
        return Some(Finding::fail(CHECK, "it cannot be told where the other nodes reach this one", remedy));
    };
    let is_local =
        |host: &str| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let others_are_elsewhere = config.redis.nodes.0.iter().any(|node| !is_local(&node.host));
    if address.ip().is_loopback() && others_are_elsewhere {
        return Some(Finding::warn(
            CHECK,
            format!("other nodes are told {address}, which is their own machine"),
            remedy,
        ));
    }
    Some(Finding::ok(CHECK, format!("other nodes reach this one at {address}")))
}
