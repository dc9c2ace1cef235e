//! What was started, on disk.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Place;

pub(super) const REDIS_COUNT: u16 = 6;
pub(super) const MASTERS: usize = 3;
/// Redis itself, and what the nodes talk to each other on, lie so far apart: Redis' own habit.
const BUS: u16 = 10_000;
/// Behind the ports of Redis.
const GATEWAYS: u16 = 10;

#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) port_base: u16,
    pub(super) redis: Vec<Started>,
    pub(super) gateways: Vec<Started>,
}

#[derive(Debug, Clone)]
pub(super) struct Started {
    /// Also its folder's.
    pub(super) name: String,
    pub(super) id: u32,
    pub(super) port: u16,
    /// The bus port of Redis, the admin port of a gateway.
    pub(super) second_port: u16,
}

impl State {
    pub(super) fn new(port_base: u16) -> Self {
        Self { port_base, redis: Vec::new(), gateways: Vec::new() }
    }

    pub(super) fn redis_ports(port_base: u16, index: u16) -> (u16, u16) {
        (port_base + index, port_base + index + BUS)
    }

    pub(super) fn gateway_ports(port_base: u16, index: u16) -> (u16, u16) {
        (port_base + GATEWAYS + 2 * index, port_base + GATEWAYS + 2 * index + 1)
    }

    /// `host:port,...`, as the configuration takes it.
    pub(super) fn redis_nodes(&self) -> String {
        self.redis.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect::<Vec<_>>().join(",")
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Started> {
        self.redis.iter().chain(&self.gateways)
    }

    /// None if nothing was started.
    pub(super) fn load(place: &Place) -> anyhow::Result<Option<Self>> {
        let path = path(place);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        let value: Option<Value> = serde_json::from_str(&text).ok();
        let state = value.as_ref().and_then(parse);
        state.map(Some).with_context(|| {
            format!("{} is not one of ours; end what still runs by hand and remove it", path.display())
        })
    }

    /// After each process that was started, so that none is ever forgotten.
    pub(super) fn save(&self, place: &Place) -> anyhow::Result<()> {
        let list = |started: &[Started]| -> Vec<Value> {
            started
                .iter()
                .map(|Started { name, id, port, second_port }| {
                    json!({ "name": name, "id": id, "port": port, "second_port": second_port })
                })
                .collect()
        };
        let value = json!({
            "port_base": self.port_base,
            "redis": list(&self.redis),
            "gateways": list(&self.gateways),
        });
        // Whole or not at all.
        let (path, draft) = (path(place), place.state.join("state.draft"));
        fs::write(&draft, format!("{value:#}\n"))?;
        fs::rename(draft, &path).with_context(|| format!("{} cannot be written", path.display()))
    }

    pub(super) fn forget(place: &Place) -> anyhow::Result<()> {
        Ok(fs::remove_file(path(place))?)
    }
}

fn path(place: &Place) -> PathBuf {
    place.state.join("state.json")
}

fn parse(value: &Value) -> Option<State> {
    let list = |name: &str| -> Option<Vec<Started>> {
        value[name]
            .as_array()?
            .iter()
            .map(|started| {
                let port = |name: &str| started[name].as_u64()?.try_into().ok();
                Some(Started {
                    name: started["name"].as_str()?.to_owned(),
                    id: started["id"].as_u64()?.try_into().ok()?,
                    port: port("port")?,
                    second_port: port("second_port")?,
                })
            })
            .collect()
    };
    Some(State {
        port_base: value["port_base"].as_u64()?.try_into().ok()?,
        redis: list("redis")?,
        gateways: list("gateways")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Directory;

    #[test]
    fn what_is_saved_is_found_again() {
        let directory = Directory::new("state").unwrap();
        let place = Place { root: directory.path().into(), state: directory.path().into() };
        assert!(State::load(&place).unwrap().is_none());
        let mut state = State::new(7400);
        state.redis.push(Started { name: "redis-1".into(), id: 7, port: 7400, second_port: 17400 });
        state.save(&place).unwrap();
        let found = State::load(&place).unwrap().unwrap();
        assert_eq!(format!("{found:?}"), format!("{state:?}"));
        assert_eq!(found.redis_nodes(), "127.0.0.1:7400");
        fs::write(path(&place), "{}").unwrap();
        assert!(State::load(&place).is_err());
        State::forget(&place).unwrap();
        assert!(State::load(&place).unwrap().is_none());
    }
}
