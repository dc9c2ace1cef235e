//! The query of an Engine.IO request.

/// Borrowed from the request's line. Values need no decoding: ours hold nothing that is ever encoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query<'a> {
    pub(super) version: Option<&'a str>,
    pub(super) transport: Option<&'a str>,
    pub(super) sid: Option<&'a str>,
}

impl<'a> Query<'a> {
    pub(super) fn parse(query: &'a str) -> Self {
        let mut parsed = Self { version: None, transport: None, sid: None };
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "EIO" => parsed.version = Some(value),
                "transport" => parsed.transport = Some(value),
                "sid" => parsed.sid = Some(value),
                _ => {}
            }
        }
        parsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_passed_over() {
        let query = Query::parse("EIO=4&transport=polling&t=abc&sid=n.0.x");
        assert_eq!(query, Query { version: Some("4"), transport: Some("polling"), sid: Some("n.0.x") });
        assert_eq!(Query::parse(""), Query { version: None, transport: None, sid: None });
        assert_eq!(Query::parse("sid").sid, Some(""));
    }
}
