//! A moment as operators write it: a time, or how long ago it was.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use turnpike_audit::Time;
use turnpike_daemon::config::Setting as _;

pub(crate) fn moment(text: &str) -> Result<Time, String> {
    if text.contains('-') {
        return text.parse::<Time>().map_err(|error| error.to_string());
    }
    let ago = Duration::parse(text)
        .map_err(|_| "expected a time, or a duration that is meant as ago".to_owned())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Time(u64::try_from(now.saturating_sub(ago).as_millis()).unwrap_or(0)))
}
