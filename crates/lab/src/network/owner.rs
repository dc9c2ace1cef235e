//! Which process a connection on loopback comes from.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The process that holds the other end of a connection from `peer` to `local`. `first` are looked at before all others.
pub(super) fn owner(peer: SocketAddrV4, local: SocketAddrV4, first: &[u32]) -> Option<u32> {
    let inode = inode(&fs::read_to_string("/proc/net/tcp").ok()?, peer, local)?;
    let wanted = format!("socket:[{inode}]");
    let others =
        fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    first.iter().copied().chain(others).find(|process| holds(*process, &wanted))
}

fn holds(process: u32, wanted: &str) -> bool {
    // Of a process that has ended, or that is somebody else's, there is nothing to be seen.
    let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    files
        .filter_map(Result::ok)
        .any(|file| fs::read_link(file.path()).is_ok_and(|target| target.to_str() == Some(wanted)))
}

/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...`
fn inode(table: &str, from: SocketAddrV4, to: SocketAddrV4) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let is = address(words.get(1)?)? == from && address(words.get(2)?)? == to;
        // A socket that nobody holds any more has none.
        is.then(|| words.get(9)?.parse().ok()).flatten().filter(|inode| *inode != 0)
    })
}

/// `0100007F:1F90`: the address as the machine has it in memory, the port as one writes it.
fn address(word: &str) -> Option<SocketAddrV4> {
    let (ip, port) = word.split_once(':')?;
    let ip = u32::from_str_radix(ip, 16).ok()?;
    Some(SocketAddrV4::new(Ipv4Addr::from(ip.to_ne_bytes()), u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn our_own_connections_are_ours() {
        let v4 = |address: SocketAddr| match address {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(_) => unreachable!("it was bound to IPv4"),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (from, to) = (v4(stream.local_addr().unwrap()), v4(listener.local_addr().unwrap()));
        assert_eq!(owner(from, to, &[]), Some(std::process::id()));
        assert_eq!(owner(from, to, &[std::process::id()]), Some(std::process::id()));
        drop(stream);
        assert_eq!(owner(from, to, &[]), None);
    }
}
