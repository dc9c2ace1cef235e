//! Users of Redis, each of whom can be thrown out alone: clients that share a process with others, and so cannot be told
//! apart by the network, can be cut off by this.

use super::RedisCluster;

impl RedisCluster {
    /// A user who may do everything. Nodes that are restarted do not know him any more.
    pub fn add_user(&self, name: &str, password: &str) -> anyhow::Result<()> {
        let password = format!(">{password}");
        self.everywhere(&["ACL", "SETUSER", name, "on", &password, "~*", "&*", "+@all"])
    }

    /// His connections are closed, and no new ones are taken.
    pub fn shut_out(&self, name: &str) -> anyhow::Result<()> {
        self.everywhere(&["ACL", "SETUSER", name, "off"])?;
        self.everywhere(&["CLIENT", "KILL", "USER", name])
    }

    pub fn let_in(&self, name: &str) -> anyhow::Result<()> {
        self.everywhere(&["ACL", "SETUSER", name, "on"])
    }

    /// At every node that answers.
    pub fn everywhere(&self, command: &[&str]) -> anyhow::Result<()> {
        for node in self.nodes().filter(|node| self.server(*node).answers()) {
            self.command(node, command)?.sound()?;
        }
        Ok(())
    }
}
