//! An indicator is gone within 200 ms of the sender's message.

use super::{MS, ty1};
use crate::What;
use crate::index::Index;
use crate::law::{Found, found};

const LIMIT_US: u64 = 200 * MS;

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    for (who, room, user, from, to) in ty1::indicators(index) {
        let started_again = |since: u64, until: u64| {
            index.events.iter().any(|event| {
                let of_user = matches!(&event.what, What::TypingStart { room: at, user: by } if at == room && by == user);
                of_user && (since..=until).contains(&event.at_us)
            })
        };
        let messages = index
            .streams
            .iter()
            .filter(|stream| (stream.who, stream.room) == (who, room))
            .flat_map(|stream| stream.messages().filter(|given| given.from == user).collect::<Vec<_>>());
        for message in messages.filter(|given| (from..to).contains(&given.at_us)) {
            let sent = index.sent.get(&(room, user, message.id)).map_or(message.at_us, |sent| sent.at_us[0]);
            if to > message.at_us + LIMIT_US && !started_again(sent, message.at_us + LIMIT_US) {
                violations.push(found!(
                    message.at_us,
                    "{who} is shown {user} typing in {room}, whose message has come"
                ));
            }
        }
    }
    violations
}
