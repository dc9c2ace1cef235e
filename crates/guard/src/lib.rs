//! Who may enter, and what they may do there: addresses, tokens, the grants they carry, credentials for TURN servers, and
//! who is kept out for what they did.
//!
//! Everything here is a question about values: the time is an argument, and nothing is looked up elsewhere.

pub mod address;
mod claims;
mod grant;
mod identity;
mod json;
mod jwks;
mod key;
pub mod limit;
mod pem;
mod revocation;
mod ring;
mod token;
mod turn;
mod warden;

pub use claims::{Audience, Claims, Name, NumericDate, Role};
pub use grant::{Grant, GrantError, MediaGrant, MediaRight, MediaRights, Pattern, Right, Rights};
pub use identity::Identity;
pub use jwks::{JWKS_BYTES_MAX, JWKS_KEYS_MAX, Jwks, JwksError};
pub use key::{KEY_ID_BYTES_MAX, KeyError, SECRET_BYTES_MIN, TokenKey, mint};
pub use pem::KEY_FILE_BYTES_MAX;
pub use revocation::{REVOCATIONS_MAX, REVOKED_ID_BYTES_MAX, Revocations, Revoked};
pub use ring::{KEYS_MAX, KEYS_TRIED_MAX, KeyRing, TooManyKeys};
pub use token::{TokenError, Verifier};
pub use turn::{IceServers, TURN_CREDENTIAL_TTL_MAX, Turn};
pub use warden::{
    At, Ban, Bounds, Door, Doors, Evidence, Levels, Measure, Restraint, Rung, Signal, Standing, Terms,
    Turned, Warden, WardenConfig, Watch, Weight, Whom,
};
