//! A slot on its way from one master to another.

use anyhow::{Context as _, bail};

use super::connection::Connection;
use super::{RedisCluster, RedisNode};

/// Begun, with the keys on either side. Left alone it stays so: [`Self::finish`] ends it.
#[derive(Debug)]
pub struct Migration<'a> {
    cluster: &'a RedisCluster,
    slot: String,
    source: Connection,
    target: Connection,
    target_port: String,
    target_id: String,
}

impl<'a> Migration<'a> {
    pub(crate) fn begin(cluster: &'a RedisCluster, slot: u16, to: RedisNode) -> anyhow::Result<Self> {
        let from = cluster.master_of_slot(slot)?;
        if from == to {
            bail!("slot {slot} is already on {to:?}");
        }
        let (mut source, mut target) = (cluster.connect(from)?, cluster.connect(to)?);
        let source_id = source.command(&["CLUSTER", "MYID"])?.sound()?.text();
        let target_id = target.command(&["CLUSTER", "MYID"])?.sound()?.text();
        let slot = slot.to_string();
        // The target first: a client that is sent there must not be sent back.
        target.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id])?.sound()?;
        source.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id])?.sound()?;
        let target_port = cluster.address(to).1.to_string();
        Ok(Self { cluster, slot, source, target, target_port, target_id })
    }

    /// Moves up to so many keys, and says how many it were.
    pub fn move_keys(&mut self, count: usize) -> anyhow::Result<usize> {
        let keys =
            self.source.command(&["CLUSTER", "GETKEYSINSLOT", &self.slot, &count.to_string()])?.sound()?;
        let keys: Vec<Vec<u8>> = keys.items().iter().map(|key| key.text().into_bytes()).collect();
        if keys.is_empty() {
            return Ok(0);
        }
        let mut command: Vec<&[u8]> =
            vec![b"MIGRATE", b"127.0.0.1", self.target_port.as_bytes(), b"", b"0", b"5000"];
        if let Some(password) = self.cluster.password() {
            command.extend([&b"AUTH"[..], password.as_bytes()]);
        }
        command.push(b"KEYS");
        command.extend(keys.iter().map(Vec::as_slice));
        self.source.command_bytes(&command)?.sound().context("the keys do not move")?;
        Ok(keys.len())
    }

    /// Gives the slot to the target. Keys that are still at the source would be lost, so there must be none.
    pub fn finish(mut self) -> anyhow::Result<()> {
        if self.move_keys(1)? > 0 {
            bail!("slot {} still had keys", self.slot);
        }
        let assign = ["CLUSTER", "SETSLOT", &self.slot, "NODE", &self.target_id];
        // The target first, which thereby takes a newer epoch; the source next; the others would hear of it by gossip.
        self.target.command(&assign)?.sound()?;
        self.source.command(&assign)?.sound()?;
        for master in self.cluster.masters()? {
            self.cluster.command(master, &assign)?.sound()?;
        }
        Ok(())
    }
}
