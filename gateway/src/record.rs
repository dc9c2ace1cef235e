//! What a session's record says of its user: the claims of the token, and the device.

use serde::{Deserialize, Serialize};
use turnpike_guard::{Claims, Grant, Identity, MediaGrant, Name, Role};
use turnpike_wire::UserId;

/// Written for other nodes, which may be of an earlier or a later version: what is not known is passed over.
#[derive(Serialize, Deserialize)]
struct Record {
    claims: Claims,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<Box<str>>,
}

pub(crate) fn write(identity: &Identity, device: Option<&str>) -> Box<str> {
    let Identity { user, role, name, expires_at, token_id, class, rooms, media } = identity;
    let mut claims = Claims::new(user.clone(), *expires_at);
    claims.role = *role;
    claims.name.clone_from(name);
    claims.jti.clone_from(token_id);
    claims.class.clone_from(class);
    claims.rooms = Some(rooms.to_vec());
    claims.media = Some(media.to_vec());
    let record = Record { claims, device: device.map(Into::into) };
    serde_json::to_string(&record).expect("claims can always be written").into()
}

/// None: this is not a record of ours.
pub(crate) fn read(text: &str) -> Option<(Identity, Option<Box<str>>)> {
    let Record { claims, device } = serde_json::from_str(text).ok()?;
    let Claims { sub, exp, jti, role, name, rooms, media, class, .. } = claims;
    let (user, role, name): (UserId, Role, Option<Name>) = (sub, role, name);
    let (rooms, media): (Vec<Grant>, Vec<MediaGrant>) =
        (rooms.unwrap_or_default(), media.unwrap_or_default());
    let identity = Identity {
        user,
        role,
        name,
        expires_at: exp.0,
        token_id: jti,
        class,
        rooms: rooms.into(),
        media: media.into(),
    };
    Some((identity, device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_again() {
        let identity = Identity {
            user: UserId::parse("alice").unwrap(),
            role: Role::Service,
            name: None,
            expires_at: 1_790_000_000,
            token_id: Some("t1".into()),
            class: Some("gold".into()),
            rooms: vec!["chat:*=join,send".parse().unwrap()].into(),
            media: Vec::new().into(),
        };
        let text = write(&identity, Some("phone"));
        assert_eq!(read(&text), Some((identity, Some("phone".into()))), "{text}");
        assert_eq!(read("{}"), None);
    }
}
