//! Secrets that all nodes of a system share without being told them: each is derived from one root (the cluster secret, or
//! without one the token secret) for one purpose, and neither the root nor another one can be found from it.

use aws_lc_rs::hmac;
use turnpike_daemon::config::Secret;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    RecoveryTicket,
    /// The key of the authority that relays show each other certificates of.
    LinkAuthority,
    /// What nodes say to each other through Redis.
    BusSeal,
}

impl Purpose {
    /// Another text is another secret.
    fn text(self) -> &'static [u8] {
        match self {
            Self::RecoveryTicket => b"turnpike recovery ticket v1",
            Self::LinkAuthority => b"turnpike link authority v1",
            Self::BusSeal => b"turnpike bus seal v1",
        }
    }

    pub(crate) fn secret(self, root: &Secret) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, root.reveal().as_bytes());
        hmac::sign(&key, self.text()).as_ref().try_into().expect("SHA-256 gives 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_depend_on_the_root_and_on_the_purpose() {
        let secret = "c3f1a97be0d2465890fe17ab34cd62b8";
        let of = |secret: &str| Purpose::RecoveryTicket.secret(&Secret::new(secret));
        assert_eq!(of(secret), of(secret));
        assert_ne!(of(secret), of("d3f1a97be0d2465890fe17ab34cd62b8"));
        assert_ne!(of(secret), Purpose::LinkAuthority.secret(&Secret::new(secret)));
        assert_ne!(of(secret), Purpose::BusSeal.secret(&Secret::new(secret)));
    }
}
