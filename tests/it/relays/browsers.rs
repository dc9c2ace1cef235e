//! Pages of a browser that publish and watch (`tests/node/relays.mjs`).

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::house::House;
use crate::harness::{home, require_packages};

pub struct Browsers {
    program: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Browsers {
    /// With a way to each node, by its name.
    pub fn start(house: &House) -> Self {
        require_packages();
        let mut node = Command::new("node");
        node.current_dir(home().join("node")).arg("relays.mjs");
        node.arg(format!("--publisher={}", house.token("publisher", "publish")));
        node.arg(format!("--viewer={}", house.token("viewer", "subscribe")));
        let mut program = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let mut browsers = Self { program, lines };
        assert_eq!(browsers.line(), json!({ "ready": true }));
        for (name, node) in house.names.iter().zip(&house.nodes) {
            browsers.balance(name, &[node.gateway.port()]);
        }
        browsers
    }

    /// Whoever connects by that way comes to one of these from here on.
    pub fn balance(&mut self, name: &str, ports: &[u16]) {
        self.ask(&json!({ "do": "balancer", "name": name, "ports": ports }));
    }

    pub fn ask(&mut self, command: &Value) -> Value {
        writeln!(self.program.stdin.as_mut().unwrap(), "{command}").unwrap();
        let told = self.line();
        assert!(told["fault"].is_null(), "{command}: {told}");
        told
    }

    fn line(&mut self) -> Value {
        let line = self.lines.next().expect("the browsers answer").unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Browsers {
    /// It ends with its stdin, and takes the browser along.
    fn drop(&mut self) {
        drop(self.program.stdin.take());
        let _ = self.program.wait();
    }
}
