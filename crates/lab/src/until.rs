//! Waiting for what other processes do.

use std::thread;
use std::time::{Duration, Instant};

/// Between looking for the first time and for the second, and twice as long each time after.
const PAUSE_FIRST: Duration = Duration::from_millis(1);
/// Looking may mean to ask a dozen processes.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// Looks again until it is so. What was missing last is why it was not.
pub fn until<T>(limit: Duration, mut look: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let end = Instant::now() + limit;
    let mut pause = PAUSE_FIRST;
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(missing) if Instant::now() > end => {
                return Err(missing.context(format!("not within {limit:?}")));
            }
            Err(_) => thread::sleep(pause),
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use anyhow::ensure;

    use super::*;

    #[test]
    fn what_comes_is_found_and_what_does_not_is_named() {
        let mut looked = 0;
        let mut third = || {
            looked += 1;
            ensure!(looked == 3, "it is the look {looked}");
            Ok(looked)
        };
        assert_eq!(until(Duration::from_mins(1), &mut third).unwrap(), 3);
        let missing = until(Duration::from_millis(5), third).unwrap_err();
        let said = format!("{missing:#}");
        assert!(said.starts_with("not within 5ms: it is the look ") && looked > 4, "{said}");
    }
}
