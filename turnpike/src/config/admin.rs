//! The keys of the admin listener.

use std::net::{IpAddr, SocketAddr};

use turnpike_daemon::config::Secret;
use turnpike_daemon::section;

section! {
    /// The admin listener: `/live`, `/ready`, `/health`, `/metrics`, and the admin API under `/admin/v1`.
    pub(crate) struct Admin in "admin" {
        /// Address to listen on. Whoever reaches it reads the metrics, unless it asks for tokens.
        host: IpAddr = "127.0.0.1", "ADMIN_HOST";
        /// TCP port; 0 lets the system choose.
        port: u16 = "3011", "ADMIN_PORT", "0" to "65535";
        /// `/metrics` and `/health` ask for a token of the role `service` or `admin` too; the admin API always asks for one of `admin`. Required in production where it listens beyond this machine.
        require_token: bool = "false", "TURNPIKE_ADMIN_REQUIRE_TOKEN";
        /// What `turnpike admin` shows the listener: a token of the role `admin`. Not set: it makes one for a minute with `auth.jwt_secret`.
        token: Option<Secret> = "", "TURNPIKE_ADMIN_TOKEN";
    }
}

impl Admin {
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}
