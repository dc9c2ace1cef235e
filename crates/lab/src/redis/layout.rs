//! Who is what in a cluster, by the words of one node.

use anyhow::Context as _;

use super::connection::Connection;
use super::slot::SLOTS;

#[derive(Debug, Clone)]
pub struct Layout {
    /// `cluster_state:ok`.
    pub works: bool,
    pub members: Vec<Member>,
}

/// A line of `CLUSTER NODES`.
#[derive(Debug, Clone)]
pub struct Member {
    pub id: String,
    pub port: u16,
    /// As Redis writes them: `myself,master,fail?`.
    pub flags: String,
    /// Whom it copies, if it is a replica.
    pub master_id: Option<String>,
    /// Inclusive, in order.
    pub slots: Vec<(u16, u16)>,
}

impl Layout {
    pub(crate) fn ask(connection: &mut Connection) -> anyhow::Result<Self> {
        let info = connection.command(&["CLUSTER", "INFO"])?.sound()?.text();
        let nodes = connection.command(&["CLUSTER", "NODES"])?.sound()?.text();
        let members = nodes.lines().map(|line| {
            Member::parse(line).with_context(|| format!("this is no line of CLUSTER NODES: {line}"))
        });
        Ok(Self {
            works: info.lines().any(|line| line.trim_end() == "cluster_state:ok"),
            members: members.collect::<anyhow::Result<_>>()?,
        })
    }

    /// Whether each slot is served by somebody who has not been given up. `cluster_state:ok` does not say so where full
    /// coverage is not required.
    pub fn is_covered(&self) -> bool {
        let slots = self.members.iter().filter(|m| m.serves()).flat_map(|m| &m.slots);
        slots.map(|(first, last)| usize::from(last - first) + 1).sum::<usize>() == usize::from(SLOTS)
    }

    /// The port of each master with its slots, in a form that can be compared.
    pub(crate) fn owners(&self) -> Vec<(u16, Vec<(u16, u16)>)> {
        let mut owners: Vec<_> =
            self.members.iter().filter(|m| m.serves()).map(|m| (m.port, m.slots.clone())).collect();
        owners.sort_unstable();
        owners
    }
}

impl Member {
    /// `<id> <host:port@bus> <flags> <master> <ping> <pong> <epoch> <link> <slots>...`
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let id = words.next()?.to_owned();
        let (address, _) = words.next()?.split_once('@')?;
        let port = address.rsplit_once(':')?.1.parse().ok()?;
        let flags = words.next()?.to_owned();
        let master_id = words.next().filter(|id| *id != "-").map(ToOwned::to_owned);
        // A slot that is being moved stands in brackets, besides its range.
        let slots = words.skip(4).filter(|word| !word.starts_with('[')).map(|word| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            Some((first.parse().ok()?, last.parse().ok()?))
        });
        let slots = slots.collect::<Option<_>>()?;
        Some(Self { id, port, flags, master_id, slots })
    }

    fn is(&self, flag: &str) -> bool {
        self.flags.split(',').any(|found| found == flag)
    }

    pub fn is_self(&self) -> bool {
        self.is("myself")
    }

    /// A master with slots that has not been given up.
    pub fn serves(&self) -> bool {
        self.is("master") && !self.is("fail") && !self.slots.is_empty()
    }

    pub fn is_suspect(&self) -> bool {
        ["fail", "fail?", "handshake", "noaddr"].into_iter().any(|flag| self.is(flag))
    }

    pub fn owns(&self, slot: u16) -> bool {
        self.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let member = Member::parse(
            "07c3 127.0.0.1:30004@31004,host myself,master - 0 1426238317239 4 connected 0-5460 5462 [93-<-292f]",
        )
        .unwrap();
        assert_eq!((member.port, member.id.as_str()), (30004, "07c3"));
        assert!(member.is_self() && member.serves() && !member.is_suspect());
        assert!(member.owns(5462) && member.owns(0) && !member.owns(5461) && !member.owns(93 + 5400));
        let replica = Member::parse("1 :0@0 slave,fail? 07c3 0 1 4 disconnected").unwrap();
        assert_eq!(replica.master_id.as_deref(), Some("07c3"));
        assert!(replica.is_suspect() && !replica.serves());
        assert!(Member::parse("").is_none());
    }
}
