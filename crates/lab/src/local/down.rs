//! Ends what was started, and nothing else.

use std::time::Duration;

use super::Place;
use super::detached::{end, runs};
use super::state::State;

/// Above the drain window that these gateways are given.
const GATEWAYS_MAX: Duration = Duration::from_secs(15);
const REDIS_MAX: Duration = Duration::from_secs(5);

/// The gateways first, while Redis can still take their last words. Logs stay until the next `up`; what Redis kept is gone
/// for whoever starts anew.
pub fn down(place: &Place) -> anyhow::Result<String> {
    let Some(state) = State::load(place)? else { return Ok("nothing was up".into()) };
    let ran = state.all().filter(|started| runs(place, started)).count();
    end(place, &state.gateways.iter(), GATEWAYS_MAX)?;
    end(place, &state.redis.iter(), REDIS_MAX)?;
    State::forget(place)?;
    Ok(format!("{ran} processes ended; their logs are in {}", place.state.display()))
}
