//! The secrets that a process has: what tokens are signed with, and what the secrets that nodes share are derived from.

use turnpike_daemon::config::Secret;

use crate::config::Config;
use crate::development::{self, SecretError};

pub(crate) struct Secrets {
    /// None: tokens are signed with private keys that are elsewhere.
    pub(crate) token: Option<Secret>,
    pub(crate) token_next: Option<Secret>,
    /// What others are derived from, and then the one that counts as well while that is exchanged.
    root: Secret,
    root_next: Option<Secret>,
}

impl Secrets {
    /// Those of the configuration, and for what is missing in development the one that it makes for itself.
    pub(crate) fn of(config: &Config) -> Result<Self, SecretError> {
        let auth = &config.auth;
        let token = config.token_secret()?;
        let own = (auth.cluster_secret.clone(), auth.cluster_secret_next.clone());
        let (root, root_next) = match (own, &token) {
            ((Some(root), next), _) => (root, next),
            ((None, _), Some(token)) => (token.clone(), auth.jwt_secret_next.clone()),
            ((None, _), None) => return Err(SecretError::NoRoot),
        };
        Ok(Self { token, token_next: auth.jwt_secret_next.clone(), root, root_next })
    }

    pub(crate) fn root(&self) -> &Secret {
        &self.root
    }

    /// The first is the one to sign with; what was signed with any of them is accepted.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.root).chain(&self.root_next)
    }
}

impl Config {
    /// What this process signs tokens with. None: nothing, in production with public keys alone.
    pub(crate) fn token_secret(&self) -> Result<Option<Secret>, SecretError> {
        match &self.auth.jwt_secret {
            Some(secret) => Ok(Some(secret.clone())),
            None if self.is_production() => Ok(None),
            None => development::secret(&self.node.data_dir).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use turnpike_daemon::config::{Environment, Sources, load};

    use super::*;
    use crate::purpose::Purpose;

    const OLD: &str = "c3f1a97be0d2465890fe17ab34cd62b8";
    const NEW: &str = "0d97b2ce64fa4d1b8be35f02a7c1693d";
    const OWN: &str = "b81f6e0c5a7249d3af20d97c4be3168e";

    fn with(environment: &[(&'static str, &'static str)]) -> Secrets {
        let environment = environment.iter().copied().collect::<Environment>();
        let loaded = load::<Config>(Sources { environment, ..Sources::default() });
        Secrets::of(&loaded.settings).unwrap()
    }

    /// Whether those who come with a ticket of one node are let in by the other.
    fn accepts(one: &Secrets, other: &Secrets) -> bool {
        let ticket = |root: &Secret| Purpose::RecoveryTicket.secret(root);
        one.roots().any(|root| ticket(root) == ticket(other.root()))
    }

    #[test]
    fn nodes_understand_one_another_at_each_step_of_an_exchange() {
        let steps = [
            with(&[("JWT_SECRET", OLD)]),
            with(&[("JWT_SECRET", OLD), ("TURNPIKE_JWT_SECRET_NEXT", NEW)]),
            with(&[("JWT_SECRET", NEW), ("TURNPIKE_JWT_SECRET_NEXT", OLD)]),
            with(&[("JWT_SECRET", NEW)]),
        ];
        for pair in steps.windows(2) {
            assert!(accepts(&pair[0], &pair[1]) && accepts(&pair[1], &pair[0]));
        }
        assert!(!accepts(&steps[3], &steps[0]), "and in the end the old one is dead");
    }

    #[test]
    fn with_a_secret_of_the_cluster_tokens_have_nothing_to_do_with_it() {
        let of = |token| with(&[("JWT_SECRET", token), ("TURNPIKE_CLUSTER_SECRET", OWN)]);
        assert!(accepts(&of(OLD), &of(NEW)) && of(OLD).root() == of(NEW).root());
        let keys_alone = with(&[("TURNPIKE_ENV", "production"), ("TURNPIKE_CLUSTER_SECRET", OWN)]);
        assert!(keys_alone.token.is_none() && accepts(&keys_alone, &of(OLD)));
        // How a system gets one without a moment at which nodes do not understand one another.
        let before = with(&[("JWT_SECRET", OLD)]);
        let after = with(&[("JWT_SECRET", OLD), ("TURNPIKE_CLUSTER_SECRET", OLD)]);
        assert!(before.root() == after.root() && accepts(&before, &after) && accepts(&after, &before));
    }
}
