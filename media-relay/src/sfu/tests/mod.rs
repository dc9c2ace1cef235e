//! A relay, who publishes, who watches, and a network between them: what holds of what viewers get. Everything but the
//! handshakes' own numbers follows from a seed; `SEED=7 cargo test` takes another.

mod asks;
mod consistency;
mod description;
mod links;
mod network;
mod piping;
mod publisher;
mod repair;
mod telling;
mod viewer;
mod viewing;
mod words;
mod world;

use description::Wish;

const PICTURE: Wish = Wish { publishes: false, audio: false, layers: 1 };
const BOTH: Wish = Wish { audio: true, ..PICTURE };
const LAYERS: Wish = Wish { layers: 3, ..PICTURE };

fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let first = given.unwrap_or(1);
    first..first + if given.is_some() { 1 } else { count }
}
