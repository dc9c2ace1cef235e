//! The function library as it is loaded into Redis, word for word, over keys in memory. What it announces comes out beside the
//! answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fred::types::Value;
use mlua::{Function, Lua, MultiValue, Table, Variadic};

use super::keyspace::{Keyspace, Reply, Text};
use crate::redis::library;

pub(super) struct Functions {
    lua: Lua,
    loaded: HashMap<String, Function>,
    world: Arc<Mutex<World>>,
}

/// What functions see.
struct World {
    keys: Keyspace,
    now_ms: u64,
    /// Which process this is: another one after each failover.
    run: u64,
    announced: Vec<(String, Bytes)>,
}

impl Functions {
    pub(super) fn load() -> Self {
        let lua = Lua::new();
        let world = World { keys: Keyspace::default(), now_ms: 0, run: 1, announced: Vec::new() };
        let world = Arc::new(Mutex::new(world));
        let found: Arc<Mutex<HashMap<String, Function>>> = Arc::default();
        let redis = lua.create_table().expect("there is memory");
        let (asked, registered) = (Arc::clone(&world), Arc::clone(&found));
        let call = lua.create_function(move |lua, words: Variadic<mlua::Value>| {
            let words: Vec<Text> = words.iter().map(word).collect();
            let reply = asked.lock().unwrap().command(&words);
            to_lua(lua, reply)
        });
        let register = lua.create_function(move |_, given: MultiValue| {
            let (name, function) = match given.iter().collect::<Vec<_>>()[..] {
                [mlua::Value::Table(table)] => (table.get("function_name")?, table.get("callback")?),
                [mlua::Value::String(name), mlua::Value::Function(function)] => {
                    (name.to_str()?.to_owned(), function.clone())
                }
                _ => panic!("a function is registered by its name"),
            };
            registered.lock().unwrap().insert(name, function);
            Ok(())
        });
        let structs = lua.create_table().expect("there is memory");
        let pack = lua.create_function(|lua, (format, number): (String, f64)| {
            assert_eq!(format, ">I8", "no other is needed here");
            lua.create_string((number as u64).to_be_bytes())
        });
        redis.set("call", call.expect("there is memory")).expect("it is a table");
        redis.set("register_function", register.expect("there is memory")).expect("it is a table");
        structs.set("pack", pack.expect("there is memory")).expect("it is a table");
        lua.globals().set("redis", redis).expect("it is a table");
        lua.globals().set("struct", structs).expect("it is a table");
        let text = library::text();
        let body = text.split_once('\n').map_or(text, |(_, body)| body);
        lua.load(body).exec().expect("the library can be loaded");
        let loaded = std::mem::take(&mut *found.lock().unwrap());
        Self { lua, loaded, world }
    }

    /// A call, and what was announced in it.
    pub(super) fn call(
        &self,
        name: &str,
        keys: &[Text],
        args: &[Text],
        now_ms: u64,
    ) -> (Value, Vec<(String, Bytes)>) {
        self.world.lock().unwrap().now_ms = now_ms;
        let list = |words: &[Text]| {
            let words = words.iter().map(|word| self.lua.create_string(word).expect("there is memory"));
            self.lua.create_sequence_from(words).expect("there is memory")
        };
        let function = self.loaded.get(name).unwrap_or_else(|| panic!("there is no {name}"));
        let answer: mlua::Value =
            function.call((list(keys), list(args))).unwrap_or_else(|error| panic!("{name}: {error}"));
        let announced = std::mem::take(&mut self.world.lock().unwrap().announced);
        (from_lua(&answer), announced)
    }

    pub(super) fn snapshot(&self) -> Keyspace {
        self.world.lock().unwrap().keys.clone()
    }

    /// Another process goes on, with what it had heard of.
    pub(super) fn fail_over(&self, keys: Keyspace) {
        let mut world = self.world.lock().unwrap();
        world.keys = keys;
        world.run += 1;
    }
}

impl World {
    fn command(&mut self, words: &[Text]) -> Reply {
        match &*words[0] {
            b"TIME" => {
                let (seconds, micros) = (self.now_ms / 1_000, self.now_ms % 1_000 * 1_000);
                Reply::Many([seconds, micros].map(|number| Reply::Bulk(number.to_string().into())).into())
            }
            b"INFO" => {
                let run = self.run;
                Reply::Bulk(format!("run_id:run{run}\r\nmaster_replid:replid{run}\r\n").into())
            }
            b"SPUBLISH" => {
                let channel = String::from_utf8(words[1].clone()).expect("channels are text");
                self.announced.push((channel, words[2].clone().into()));
                Reply::Number(1)
            }
            _ => self.keys.command(words, self.now_ms),
        }
    }
}

fn word(value: &mlua::Value) -> Text {
    match value {
        mlua::Value::String(text) => text.as_bytes().to_vec(),
        mlua::Value::Integer(number) => number.to_string().into(),
        mlua::Value::Number(number) => format!("{number}").into(),
        other => panic!("{other:?} is no word of a command"),
    }
}

fn to_lua(lua: &Lua, reply: Reply) -> mlua::Result<mlua::Value> {
    Ok(match reply {
        Reply::Nil => mlua::Value::Boolean(false),
        Reply::Number(number) => mlua::Value::Number(number as f64),
        Reply::Bulk(text) => mlua::Value::String(lua.create_string(text)?),
        Reply::Many(replies) => {
            let values =
                replies.into_iter().map(|reply| to_lua(lua, reply)).collect::<mlua::Result<Vec<_>>>()?;
            mlua::Value::Table(lua.create_sequence_from(values)?)
        }
    })
}

/// As fred gives it: numbers are whole, and text is what is UTF-8.
fn from_lua(value: &mlua::Value) -> Value {
    match value {
        mlua::Value::Integer(number) => Value::Integer(*number),
        mlua::Value::Number(number) => Value::Integer(*number as i64),
        mlua::Value::Boolean(true) => Value::Integer(1),
        mlua::Value::String(text) => {
            let bytes = text.as_bytes().to_vec();
            match String::from_utf8(bytes) {
                Ok(text) => Value::String(text.into()),
                Err(error) => Value::Bytes(error.into_bytes().into()),
            }
        }
        mlua::Value::Table(table) => Value::Array(list(table)),
        _ => Value::Null,
    }
}

fn list(table: &Table) -> Vec<Value> {
    table.sequence_values::<mlua::Value>().map(|value| from_lua(&value.expect("it is a sequence"))).collect()
}
