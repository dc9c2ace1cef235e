//! What a session's record says of its user: the claims of the token, the device, and how they want to be shown.

use serde::{Deserialize, Serialize};
use turnpike_guard::{Claims, Grant, Identity, MediaGrant, Name, NumericDate, Role};
use turnpike_wire::UserId;

use crate::presence::Showing;

/// Written for other nodes, which may be of an earlier or a later version: what is not known is passed over.
#[derive(Serialize, Deserialize)]
struct Record {
    claims: Claims,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<Box<str>>,
    #[serde(default)]
    showing: Showing,
}

pub(crate) fn write(identity: &Identity, device: Option<&str>, showing: &Showing) -> Box<str> {
    let Identity { user, role, name, expires_at, issued_at, token_id, class, rooms, media } = identity;
    let mut claims = Claims::new(user.clone(), *expires_at);
    claims.role = *role;
    claims.name.clone_from(name);
    claims.iat = issued_at.map(NumericDate);
    claims.jti.clone_from(token_id);
    claims.class.clone_from(class);
    claims.rooms = Some(rooms.to_vec());
    claims.media = Some(media.to_vec());
    let record = Record { claims, device: device.map(Into::into), showing: showing.clone() };
    serde_json::to_string(&record).expect("claims can always be written").into()
}

/// None: this is not a record of ours.
pub(crate) fn read(text: &str) -> Option<(Identity, Option<Box<str>>, Showing)> {
    let Record { claims, device, showing } = serde_json::from_str(text).ok()?;
    let Claims { sub, exp, iat, jti, role, name, rooms, media, class, .. } = claims;
    let (user, role, name): (UserId, Role, Option<Name>) = (sub, role, name);
    let (rooms, media): (Vec<Grant>, Vec<MediaGrant>) =
        (rooms.unwrap_or_default(), media.unwrap_or_default());
    let identity = Identity {
        user,
        role,
        name,
        expires_at: exp.0,
        issued_at: iat.map(|iat| iat.0),
        token_id: jti,
        class,
        rooms: rooms.into(),
        media: media.into(),
    };
    Some((identity, device, showing))
}

#[cfg(test)]
mod tests {
    use turnpike_wire::presence::{Activity, Status};

    use super::*;
    use crate::presence::Look;

    #[test]
    fn written_and_read_again() {
        let identity = Identity {
            user: UserId::parse("alice").unwrap(),
            role: Role::Service,
            name: None,
            expires_at: 1_790_000_000,
            issued_at: Some(1_780_000_000),
            token_id: Some("t1".into()),
            class: Some("gold".into()),
            rooms: vec!["chat:*=join,send".parse().unwrap()].into(),
            media: Vec::new().into(),
        };
        let look = Look {
            status: Status::Invisible,
            activity: Some(Activity::parse(r#"{"in" : "a call"}"#).unwrap()),
        };
        let showing = Showing { look, device: Some("phone".into()) };
        let text = write(&identity, Some("phone"), &showing);
        assert_eq!(read(&text), Some((identity, Some("phone".into()), showing)), "{text}");
        assert_eq!(read("{}"), None);
    }
}
