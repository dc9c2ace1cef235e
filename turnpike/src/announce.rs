//! What is printed when the system is up: a block for people, a line for programs. Logs go elsewhere, to stderr.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Where a program on this machine reaches a listener: "every interface" is nothing that it could connect to.
pub(crate) fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn url(address: SocketAddr) -> String {
    format!("http://{}", reachable(address))
}

/// The line for programs. Its form is a promise.
pub(crate) fn line(gateway: SocketAddr, admin: SocketAddr) -> String {
    format!(r#"{{"listening":{{"gateway":"{}","admin":"{}"}}}}"#, url(gateway), url(admin))
}

/// The same of a router.
pub(crate) fn router_line(router: SocketAddr, admin: SocketAddr) -> String {
    format!(r#"{{"listening":{{"router":"{}","admin":"{}"}}}}"#, url(router), url(admin))
}

/// What the block for people says.
pub(crate) struct Block<'a> {
    pub(crate) gateway: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) program: &'a str,
    pub(crate) user: &'a str,
    pub(crate) token: &'a str,
    pub(crate) token_validity: &'a str,
    /// Of the role admin.
    pub(crate) operator_token: &'a str,
    /// Where the secret lies, if it is the one made on first use.
    pub(crate) secret_path: Option<&'a Path>,
    pub(crate) descriptors: u64,
    pub(crate) connections_max: usize,
}

impl Block<'_> {
    pub(crate) fn render(&self) -> String {
        let Self { program, user, token, token_validity, operator_token, .. } = self;
        let (gateway, admin) = (url(self.gateway), url(self.admin));
        let mut out = format!(
            "
  Turnpike {version}   THIS IS A DEVELOPMENT SET-UP, NOT FOR PRODUCTION

  Demo         {gateway}/   open it in two browser windows
  Gateway      {gateway}   Socket.IO at /socket.io/, plain websocket at /ws
  Admin        {admin}   /live /ready /health /metrics
  Token        for user {user}, every room, {token_validity}:

{token}

  Dashboard    of this node and the others, signed in by this link:

{admin}/dashboard#token={operator_token}

  Use it       const socket = io(\"{gateway}\", {{ auth: {{ token }} }})
  Another one  {program} token --user bob --room 'chat:*=join,send'
",
            version = env!("CARGO_PKG_VERSION"),
        );
        if let Some(path) = self.secret_path {
            let _ = writeln!(
                out,
                "  Secret       {}, made for this set-up (JWT_SECRET sets another)",
                path.display()
            );
        }
        let _ = writeln!(
            out,
            "  Limits       {} file descriptors, {} connections at most",
            self.descriptors, self.connections_max
        );
        out
    }
}
