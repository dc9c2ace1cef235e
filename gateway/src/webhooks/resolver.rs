//! Names of other machines, looked up for requests that this node makes by itself: only to addresses that it may speak to.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::is_public;

/// Looks names up and gives only addresses that may be connected to. What is checked here is what is connected to: no
/// other look-up comes between.
#[derive(Debug, Clone, Copy)]
pub struct Resolver {
    allow_private: bool,
}

impl Resolver {
    pub fn new(allow_private: bool) -> Self {
        Self { allow_private }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let is_sound = allow_private || found.iter().all(|address| is_public(address.ip()));
            if is_sound { Ok(Box::new(found.into_iter()) as Addrs) } else { Err(Box::new(NotPublic) as _) }
        })
    }
}

/// One such address is enough: a name that has both is not what it says.
#[derive(Debug)]
struct NotPublic;

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name leads to an address that is not public")
    }
}

impl Error for NotPublic {}

/// Whether a request failed because its name leads to where it may not go.
pub fn is_forbidden(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<NotPublic>() {
            return true;
        }
        cause = error.source();
    }
    false
}
