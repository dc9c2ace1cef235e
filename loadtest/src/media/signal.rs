//! WHIP and WHEP: one request that begins a session, one that ends it. Both are goose requests.

use goose::goose::{GooseMethod, GooseRequest, GooseUser};

use crate::{figures::Measure, run::Run};

/// What a session answered with.
pub(super) struct Session {
    pub(super) answer: String,
    /// Where it is ended.
    location: Option<String>,
}

pub(super) async fn begin(
    run: &Run,
    user: &mut GooseUser,
    measure: Measure,
    path: &str,
    token: &str,
    offer: String,
) -> Result<Session, String> {
    let builder = user.get_request_builder(&GooseMethod::Post, path).map_err(|error| error.to_string())?;
    let builder = builder.bearer_auth(token).header("content-type", "application/sdp").body(offer);
    let request = GooseRequest::builder().set_request_builder(builder).name(measure.name()).build();
    let response = user.request(request).await.map_err(|error| error.to_string())?;
    let response = response.response.map_err(|_| "no answer".to_owned())?;
    let status = response.status();
    let location = response.headers().get("location").and_then(|place| place.to_str().ok());
    let location = location.and_then(|place| {
        let place = response.url().join(place).ok()?;
        // Sessions are where they were begun, and nowhere else.
        (place.origin() == response.url().origin()).then(|| place.path().to_owned())
    });
    let answer = response.text().await.map_err(|_| "half an answer".to_owned())?;
    if !status.is_success() {
        return Err(refusal(status.as_u16()));
    }
    Ok(Session { answer: only_near(&answer, run.places.is_near()), location })
}

/// With what to do about it, where that is known.
fn refusal(status: u16) -> String {
    let what = match status {
        307 => {
            ": the stream is at another relay, and redirects are not followed; give that address with --host"
        }
        401 | 403 => {
            ": the token does not grant this; --jwt-secret must be the server's, or --token one that grants live:*"
        }
        429 => {
            ": more sessions began from one address than the node takes in a minute; raise its TURNPIKE_MEDIA_POSTS_PER_MINUTE_MAX (120 \
             unless set), or have fewer viewers and streams"
        }
        503 => ": the node, or its media relay, takes no more sessions",
        _ => "",
    };
    format!("status {status}{what}")
}

impl Session {
    pub(super) async fn end(&self, user: &mut GooseUser, token: &str) {
        let Some(location) = &self.location else { return };
        let Ok(builder) = user.get_request_builder(&GooseMethod::Delete, location) else { return };
        let request = GooseRequest::builder()
            .set_request_builder(builder.bearer_auth(token))
            .name("session end")
            .build();
        // A session that is not ended ends by itself.
        let _ = user.request(request).await;
    }
}

/// Without candidates on other machines, unless those may be loaded.
fn only_near(answer: &str, is_near: bool) -> String {
    let is_far = |line: &str| {
        let address = line.strip_prefix("a=candidate:").and_then(|rest| rest.split(' ').nth(4));
        let address = address.and_then(|address| address.parse::<std::net::IpAddr>().ok());
        line.starts_with("a=candidate:") && !address.is_some_and(|address| address.is_loopback())
    };
    if !is_near {
        return answer.to_owned();
    }
    answer.split_inclusive('\n').filter(|line| !is_far(line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_named() {
        assert!(refusal(429).contains("TURNPIKE_MEDIA_POSTS_PER_MINUTE_MAX"));
        assert_eq!(refusal(404), "status 404");
    }

    #[test]
    fn candidates_elsewhere_are_left_alone() {
        let near = "a=candidate:1 1 udp 2130706431 127.0.0.1 4000 typ host\r\n";
        let far = "a=candidate:2 1 udp 2130706431 192.0.2.1 4000 typ host\r\n";
        let name = "a=candidate:3 1 udp 2130706431 x.local 4000 typ host\r\n";
        let answer = format!("v=0\r\n{near}{far}{name}a=end-of-candidates\r\n");
        assert_eq!(only_near(&answer, true), format!("v=0\r\n{near}a=end-of-candidates\r\n"));
        assert_eq!(only_near(&answer, false), answer);
    }
}
