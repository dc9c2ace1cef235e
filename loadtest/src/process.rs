//! What the operating system knows of processes, and does to them: CPU, memory, file descriptors, an end. Linux alone.

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit, test_kill_process};

/// Clock ticks a second in `/proc`, on every Linux there is.
const TICKS: f64 = 100.0;
const PAGE_BYTES: u64 = 4096;

/// User and system, since the process began.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may contain anything; what follows it does not.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / TICKS)
}

pub fn memory_bytes(pid: u32) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    Some(statm.split(' ').nth(1)?.parse::<u64>().ok()? * PAGE_BYTES)
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// Without a word.
pub fn kill(number: u32) {
    // One that is gone already is not there either.
    let _ = pid(number).map(|pid| kill_process(pid, Signal::KILL));
}

/// Whether they are there, and ours to kill.
pub fn can_kill(numbers: &[u32]) -> Result<(), String> {
    let out_of_reach =
        numbers.iter().find(|number| pid(**number).is_none_or(|pid| test_kill_process(pid).is_err()));
    out_of_reach.map_or(Ok(()), |number| {
        Err(format!("--kill: there is no process {number} on this machine, or it is somebody else's"))
    })
}

/// Beside the connections: the runtime, the reports, goose.
const FILES_BESIDE: u64 = 64;

/// Takes as many file descriptors as this process may have; what to say if they are too few for so many users.
pub fn provide_files(users: u32) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // If that is refused, there is what there is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = u64::from(users) + FILES_BESIDE;
    if needed <= files {
        return Ok(());
    }
    Err(format!(
        "{users} users need {needed} file descriptors, and this process may have {files}: raise the limit (`ulimit -n {needed}`, or \
         LimitNOFILE of a unit), or share the users among several processes"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_itself() {
        let pid = std::process::id();
        assert!(cpu_seconds(pid).is_some());
        assert!(memory_bytes(pid).unwrap() > 1_000_000);
        assert_eq!(memory_bytes(u32::MAX), None);
        assert!(can_kill(&[std::process::id()]).is_ok());
        assert!(can_kill(&[std::process::id(), u32::MAX]).unwrap_err().contains("--kill"));
        provide_files(1).unwrap();
        assert!(provide_files(u32::MAX).unwrap_err().contains("ulimit -n"));
    }
}
