//! Who may ask: a bearer of a token that holds, that nobody called back, and whose role suffices. And no browser's page of
//! somebody else.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use turnpike_daemon::admin::is_literal;
use turnpike_gateway::audited::{self, By};
use turnpike_guard::address::AddressKey;
use turnpike_guard::{Identity, Role, Signal, Standing, TokenError};
use turnpike_wire::{Code, Failure};

use super::desk::Desk;
use super::operation::Problem;
use super::orders::Operator;

/// What for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Reading metrics and health, where that is not open to all: for whatever collects them.
    Read,
    Act,
}

/// Somebody who was let in.
#[derive(Clone)]
pub(super) struct Entered {
    pub(super) identity: Identity,
    address: IpAddr,
    agent: Option<String>,
    request: String,
}

const TRANSPORT: &str = "admin";

impl Entered {
    pub(super) fn by(&self) -> By<'_> {
        By {
            agent: self.agent.as_deref(),
            transport: Some(TRANSPORT),
            request: Some(&self.request),
            ..By::address(self.address).identified(&self.identity)
        }
    }

    /// The same for another node.
    pub(super) fn operator(&self) -> Operator {
        Operator {
            user: self.identity.user.as_str().to_owned(),
            token: self.identity.token_id.as_deref().map(ToOwned::to_owned),
            address: self.address,
            agent: self.agent.clone(),
            request: self.request.clone(),
        }
    }
}

pub(super) async fn enter(
    desk: &Desk,
    address: IpAddr,
    headers: &HeaderMap,
    request: &str,
    access: Access,
) -> Result<Entered, Problem> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let agent = text(header::USER_AGENT).map(ToOwned::to_owned);
    let from = By {
        agent: agent.as_deref(),
        transport: Some(TRANSPORT),
        request: Some(request),
        ..By::address(address)
    };
    if !is_of_no_other_page(headers) {
        desk.meters.refused_entry.inc();
        desk.parts.watch.report(Some(address), None, Signal::OriginRefused);
        audited::origin_refused(&desk.audit, By { origin: text(header::ORIGIN), ..from });
        return Err(Failure::new(Code::Forbidden, "this is not for pages of other origins").into());
    }
    let key = AddressKey::of(address);
    let now = desk.now();
    let may_try = desk.attempts().may_try(&key, now.steady_ms);
    // Somebody else on this machine must not be able to keep its operator out by being wrong all the time. So here a token
    // that holds always counts; it is what cannot be guessed.
    let turned_away = may_try.err().map(too_often);
    if let Some(problem) = turned_away.as_ref().filter(|_| !address.is_loopback()) {
        desk.meters.refused_entry.inc();
        return Err(problem.clone().into());
    }
    let refused = match check(desk, headers, now.unix_ms / 1000) {
        Ok(identity) => match permit(access, identity.role).and_then(|()| stands(desk, &identity)) {
            Ok(()) => return Ok(Entered { identity, address, agent, request: request.to_owned() }),
            // By name as well: whoever has a token comes from as many addresses as they like.
            Err(failure) => match overreaches(desk, &identity, now.steady_ms) {
                Ok(()) => {
                    let by = from.identified(&identity);
                    audited::denied(&desk.audit, by, "admin", None, failure.code.slug());
                    failure
                }
                Err(retry_after_ms) => too_often(retry_after_ms),
            },
        },
        Err(refused) if turned_away.is_none() => {
            if refused.is_attempt {
                desk.parts.watch.report(Some(address), None, Signal::BadToken);
            }
            audited::login_failed(&desk.audit, from, refused.slug).await;
            refused.failure
        }
        // Counted, and not written down again and again.
        Err(refused) => turned_away.unwrap_or(refused.failure),
    };
    desk.attempts().failed(key, now.steady_ms);
    desk.meters.refused_entry.inc();
    Err(refused.into())
}

/// Whether somebody who was let in to act would be let in now.
pub(super) fn still(desk: &Desk, headers: &HeaderMap) -> Result<(), Failure> {
    let identity = check(desk, headers, desk.now().unix_ms / 1000).map_err(|refused| refused.failure)?;
    permit(Access::Act, identity.role)?;
    stands(desk, &identity)
}

/// Counts one more. An error: it has been too many, and is not written down again.
fn overreaches(desk: &Desk, identity: &Identity, now_ms: u64) -> Result<(), u64> {
    let mut overreaching = desk.overreaching();
    overreaching.may_try(&identity.user, now_ms)?;
    overreaching.failed(identity.user.clone(), now_ms);
    Ok(())
}

fn too_often(retry_after_ms: u64) -> Failure {
    Failure::new(Code::RateLimited, "too many requests without a valid token").retry_after_ms(retry_after_ms)
}

struct Refused {
    slug: &'static str,
    failure: Failure,
    /// Somebody who does not know better may ask without a token, or with one of yesterday.
    is_attempt: bool,
}

fn check(desk: &Desk, headers: &HeaderMap, now: u64) -> Result<Identity, Refused> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let token = match (given.next(), given.next()) {
        (Some(one), None) => one.to_str().ok().and_then(bearer),
        _ => None,
    };
    let Some(token) = token else {
        let failure = Failure::new(Code::Unauthorized, "send `Authorization: Bearer <token>`");
        return Err(Refused { slug: "absent", failure, is_attempt: false });
    };
    let refused = |error: TokenError| {
        let is_attempt = !matches!(error, TokenError::Expired | TokenError::Revoked);
        Refused { slug: error.slug(), failure: error.into(), is_attempt }
    };
    desk.parts.tokens.check(token, now).map_err(refused)
}

fn permit(access: Access, role: Role) -> Result<(), Failure> {
    match (access, role) {
        (_, Role::Admin) | (Access::Read, Role::Service) => Ok(()),
        (Access::Read, Role::User) => {
            Err(Failure::new(Code::Forbidden, "this is for tokens of the role service or admin"))
        }
        (Access::Act, Role::User | Role::Service) => {
            Err(Failure::new(Code::Forbidden, "this is for tokens of the role admin"))
        }
    }
}

/// Whoever is shut out everywhere else is so here.
fn stands(desk: &Desk, identity: &Identity) -> Result<(), Failure> {
    match desk.parts.watch.user_stands(&identity.user) {
        Standing::Free | Standing::Muted { .. } => Ok(()),
        Standing::Banned { .. } => Err(Code::Banned.into()),
    }
}

/// The name of the scheme is written in any case (RFC 9110 11.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// Browsers say of each request where it comes from, and no page can say otherwise. What comes from this listener itself
/// passes, if it was asked by an address: by its own name a page may have come here (DNS rebinding).
fn is_of_no_other_page(headers: &HeaderMap) -> bool {
    let all = |name: &str, is_well: &dyn Fn(&str) -> bool| {
        headers.get_all(name).iter().all(|value| value.to_str().is_ok_and(is_well))
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_own = |origin: &str| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        is_literal(host) && authority == Some(host)
    };
    all("origin", &is_own) && all("sec-fetch-site", &|site| matches!(site, "same-origin" | "none"))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn pages_of_others_are_known_by_what_their_browser_says() {
        let passes = |given: &[(&'static str, &'static str)]| {
            let headers = given
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            is_of_no_other_page(&headers.collect())
        };
        let host = ("host", "127.0.0.1:3011");
        assert!(passes(&[host]) && passes(&[]), "no browser");
        assert!(passes(&[host, ("origin", "http://127.0.0.1:3011"), ("sec-fetch-site", "same-origin")]));
        assert!(passes(&[host, ("sec-fetch-site", "none")]), "typed into the line of the browser");
        for given in [
            &[host, ("origin", "https://evil.example")][..],
            &[host, ("origin", "null")],
            &[host, ("origin", "http://127.0.0.1:3010")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
            &[("host", "evil.example:3011"), ("origin", "http://evil.example:3011")],
            &[("origin", "http://127.0.0.1:3011")],
        ] {
            assert!(!passes(given), "{given:?}");
        }
    }

    #[test]
    fn only_an_admin_acts() {
        for (access, role, may) in [
            (Access::Read, Role::User, false),
            (Access::Read, Role::Service, true),
            (Access::Read, Role::Admin, true),
            (Access::Act, Role::User, false),
            (Access::Act, Role::Service, false),
            (Access::Act, Role::Admin, true),
        ] {
            assert_eq!(permit(access, role).is_ok(), may, "{access:?} {role:?}");
        }
    }
}
