//! Whether a cluster is well, by what its nodes say.

use anyhow::{Context as _, bail};

use super::connection::Connection;
use super::layout::Layout;

/// Each slot is served by a master among these, and all of them agree upon which.
pub(crate) fn served(ports: &[u16], password: Option<&str>) -> anyhow::Result<()> {
    let mut agreed = None;
    for port in ports {
        let layout = Layout::ask(&mut Connection::signed_in(*port, password)?)?;
        if !layout.works {
            bail!("the node on port {port} says that the cluster is down");
        }
        if !layout.is_covered() {
            bail!("the node on port {port} knows no master for some slots");
        }
        let owners = layout.owners();
        if let Some((owner, _)) = owners.iter().find(|(owner, _)| !ports.contains(owner)) {
            bail!("the node on port {port} still counts on the one on port {owner}");
        }
        if *agreed.get_or_insert_with(|| owners.clone()) != owners {
            bail!("the node on port {port} has another opinion of who serves what");
        }
    }
    agreed.context("no node answers").map(drop)
}

/// Besides, all know one another, and every replica is level with its master, of which each has so many.
pub(crate) fn healthy(ports: &[u16], replicas: usize, password: Option<&str>) -> anyhow::Result<()> {
    served(ports, password)?;
    for port in ports {
        let mut connection = Connection::signed_in(*port, password)?;
        let layout = Layout::ask(&mut connection)?;
        if layout.members.len() != ports.len() {
            bail!("the node on port {port} knows {} nodes", layout.members.len());
        }
        if let Some(member) = layout.members.iter().find(|member| member.is_suspect()) {
            bail!("the node on port {port} does not trust the one on port {}: {}", member.port, member.flags);
        }
        let own = layout.members.iter().find(|member| member.is_self()).context("no node is itself")?;
        let replication = connection.command(&["INFO", "replication"])?.sound()?.text();
        let says = |line: &str| replication.lines().any(|found| found.trim_end() == line);
        if own.master_id.is_some() {
            if !says("master_link_status:up") || !says("master_sync_in_progress:0") {
                bail!("the replica on port {port} is not level with its master");
            }
        } else if own.serves() {
            let wanted = layout.members.iter().filter(|m| m.master_id.as_ref() == Some(&own.id)).count();
            let online = replication.lines().filter(|line| line.contains(",state=online,")).count();
            if online != wanted || wanted < replicas {
                bail!("the master on port {port} has {online} of {wanted} replicas online");
            }
        }
    }
    Ok(())
}
