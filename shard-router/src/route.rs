//! Where a request belongs, by what its first line says. Pure: which nodes there are is another's matter.

use http::Method;
use turnpike_cluster::Incarnation;
use turnpike_wire::media::MediaSession;

/// Of a path or a query only so much is looked at. Longer ones are no request of ours.
const NAME_BYTES_MAX: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// Of a session that has begun: to the node that its id names.
    Session { node: &'a str },
    /// A session is about to begin. The key, if the client gave one, says with whom it belongs together.
    Begin { key: Option<&'a str> },
    /// Somebody wants to publish or watch over HTTP: to the relay that has the stream.
    Stream { side: Side, stream: &'a str },
    /// A request of such a session: to the relay that its name says.
    Media { relay: Incarnation },
    /// A question to the router itself.
    Lookup,
    /// Whatever every node answers the same.
    Anywhere,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Publish,
    Watch,
}

/// All that [`Route::slug`] gives.
pub(crate) const SLUGS: [&str; 6] = ["session", "begin", "stream", "media", "lookup", "anywhere"];

impl Route<'_> {
    /// For metrics.
    pub(crate) fn slug(&self) -> &'static str {
        match self {
            Self::Session { .. } => "session",
            Self::Begin { .. } => "begin",
            Self::Stream { .. } => "stream",
            Self::Media { .. } => "media",
            Self::Lookup => "lookup",
            Self::Anywhere => "anywhere",
        }
    }
}

pub(crate) fn route<'a>(method: &Method, path: &'a str, query: Option<&'a str>) -> Route<'a> {
    let query = query.unwrap_or_default();
    match path {
        "/socket.io/" | "/socket.io" => match value(query, "sid") {
            // One that names no node is nobody's; any node says so in the client's own words.
            Some(sid) => session_node(sid).map_or(Route::Anywhere, |node| Route::Session { node }),
            None => Route::Begin { key: key(query) },
        },
        "/ws" => Route::Begin { key: key(query) },
        "/v1/route" => Route::Lookup,
        _ => media(method, path).unwrap_or(Route::Anywhere),
    }
}

/// `<node>.<shard>.<secret>`, where the node's name may have dots.
fn session_node(sid: &str) -> Option<&str> {
    let (node, _shard) = sid.rsplit_once('.')?.0.rsplit_once('.')?;
    is_name(node).then_some(node)
}

/// Clients may say with whom they want to be at one node, as users of a room do who send each other much.
fn key(query: &str) -> Option<&str> {
    value(query, "room").or_else(|| value(query, "user"))
}

/// `/whip/{stream}` and `/whep/{stream}` begin a session, `/whip/{stream}/{session}` is one.
fn media<'a>(method: &Method, path: &'a str) -> Option<Route<'a>> {
    let (side, rest) = match (path.strip_prefix("/whip/"), path.strip_prefix("/whep/")) {
        (Some(rest), _) => (Side::Publish, rest),
        (_, Some(rest)) => (Side::Watch, rest),
        _ => return None,
    };
    match rest.split_once('/') {
        None if *method == Method::POST && is_name(rest) => Some(Route::Stream { side, stream: rest }),
        None => None,
        Some((_, session)) => {
            let session: MediaSession = session.split('/').next()?.parse().ok()?;
            Some(Route::Media { relay: Incarnation(session.relay) })
        }
    }
}

/// The value as it stands there: ids of ours need no escapes, and what has some is none of them.
pub(crate) fn value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).find(|value| is_name(value))
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@-".contains(&byte);
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_request_is_known() {
        let get = |path, query| route(&Method::GET, path, query);
        assert_eq!(
            get("/socket.io/", Some("EIO=4&transport=polling&sid=gw-a.eu.3.c2VjcmV0c2VjcmV0c2VjcmU")),
            Route::Session { node: "gw-a.eu" }
        );
        assert_eq!(get("/socket.io/", Some("EIO=4&transport=polling")), Route::Begin { key: None });
        assert_eq!(
            get("/socket.io/", Some("EIO=4&room=chat:a&user=u")),
            Route::Begin { key: Some("chat:a") }
        );
        assert_eq!(get("/ws", Some("user=alice")), Route::Begin { key: Some("alice") });
        assert_eq!(get("/v1/route", Some("room=a")), Route::Lookup);
        assert_eq!(get("/api/v1/info/health", None), Route::Anywhere);
        assert_eq!(get("/whep/live:1", None), Route::Anywhere, "only a POST begins anything");
        assert_eq!(
            route(&Method::POST, "/whip/live:1", None),
            Route::Stream { side: Side::Publish, stream: "live:1" }
        );
        let session = MediaSession { relay: 7, key: 9 };
        let (path, events) = (format!("/whep/live:1/{session}"), format!("/whep/live:1/{session}/events/1"));
        let media = Route::Media { relay: Incarnation(7) };
        assert_eq!(route(&Method::PATCH, &path, None), media);
        assert_eq!(route(&Method::GET, &events, None), media);
    }

    #[test]
    fn what_names_no_node_goes_anywhere() {
        for sid in
            ["", "a", "a.b", "..x", ".0.secret", "a%2e.0.x", "a b.0.x", &format!("{}.0.x", "n".repeat(129))]
        {
            let query = format!("EIO=4&sid={sid}");
            let found = route(&Method::GET, "/socket.io/", Some(&query));
            assert!(matches!(found, Route::Anywhere | Route::Begin { .. }), "{sid}: {found:?}");
        }
        for path in ["/whip/", "/whip/a/", "/whip/a/b", "/whip/a%20b", "/whep", "/socket.iox/"] {
            assert_eq!(route(&Method::POST, path, None), Route::Anywhere, "{path}");
        }
    }
}
