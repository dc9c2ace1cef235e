//! What Redis says in lines of `name:value`, and in maps.

use std::collections::HashMap;

use fred::types::Value;

/// The answer to `INFO`, `CLUSTER INFO` or `CONFIG GET`.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(HashMap<String, String>);

impl Fields {
    pub(super) fn of_lines(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        Self(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// A map, or the same as a list of names and values by turns.
    pub(super) fn of_pairs(value: Value) -> Self {
        let mut fields = HashMap::new();
        match value {
            Value::Map(map) => {
                for (name, value) in map.inner() {
                    if let (Some(name), Some(value)) = (name.into_string(), value.into_string()) {
                        fields.insert(name, value);
                    }
                }
            }
            Value::Array(items) => {
                for pair in items.chunks_exact(2) {
                    if let (Some(name), Some(value)) = (pair[0].as_string(), pair[1].as_string()) {
                        fields.insert(name, value);
                    }
                }
            }
            _ => {}
        }
        Self(fields)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    pub(super) fn is(&self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }

    /// Replicas that a master counts as up: `slave0:ip=...,port=...,state=online,offset=...,lag=0`.
    pub(super) fn replicas_online(&self) -> usize {
        let lines = self.0.iter().filter(|(name, _)| name.starts_with("slave"));
        lines.filter(|(_, value)| value.split(',').any(|part| part == "state=online")).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let info = "# Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
            slave0:ip=127.0.0.1,port=1,state=online,offset=1,lag=0\r\nslave1:ip=127.0.0.1,port=2,state=wait_bgsave,offset=0,lag=0\r\n\
            slave_expires_tracked_keys:0\r\nmaxmemory:0\r\n";
        let fields = Fields::of_lines(info);
        assert_eq!((fields.replicas_online(), fields.number("maxmemory")), (1, Some(0)));
        assert!(fields.is("role", "master") && fields.get("nothing").is_none());
    }

    #[test]
    fn pairs() {
        let flat = Value::Array(["a", "1", "b", "x y"].map(Value::from).to_vec());
        let fields = Fields::of_pairs(flat);
        assert_eq!((fields.get("b"), fields.number("a")), (Some("x y"), Some(1)));
        assert!(Fields::of_pairs(Value::Null).get("a").is_none());
    }
}
