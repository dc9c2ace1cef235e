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
