//! Programs in Node against a running system, most of them in a frame.

use std::collections::BTreeMap;

use turnpike_book::Block;

use super::sandbox::Sandbox;
use super::way::Way;
use super::{blocks_of, faults_of, frame_path, root};
use crate::harness::{ports, require_packages};

const HOOK_SECRET: &str = "a secret of the documentation's webhooks, long enough";

#[test]
fn programs_run() {
    require_packages();
    // Where one of them waits for a webhook.
    let [hook] = ports::own();
    let mut sandbox = Sandbox::start(&[
        ("TURNPIKE_QUERY_TOKENS", "true"),
        ("TURNPIKE_WEBHOOK_URL", &format!("http://127.0.0.1:{hook}/turnpike")),
        ("TURNPIKE_WEBHOOK_SECRET", HOOK_SECRET),
        ("TURNPIKE_WEBHOOK_ALLOW_PRIVATE", "true"),
        // None of the other programs causes one: what came before there was a listener would be tried again later and later.
        ("TURNPIKE_WEBHOOK_EVENTS", "message.offline"),
    ]);
    sandbox.tell("HOOK_PORT", &hook.to_string());
    sandbox.tell("HOOK_SECRET", HOOK_SECRET);
    for (said, file) in
        [("\"./turnpike.js\"", "turnpike.js"), ("\"turnpike-client/socketio\"", "socketio.js")]
    {
        sandbox.substitute(said, &format!("\"file://{}\"", root().join("web").join(file).display()));
    }
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
    sandbox.tell("PYTHON", target.join("python/bin/python").to_str().unwrap());
    // Blocks of one page that belong together are run together: `// block 1`, `// block 2` of their frame.
    let mut together: BTreeMap<String, Vec<Block>> = BTreeMap::new();
    for (block, way) in blocks_of(|way| matches!(way, Way::Program | Way::Frame(_))) {
        match way {
            Way::Frame(name) if block.language != "sh" => together.entry(name).or_default().push(block),
            Way::Program => together.entry(format!("alone-{}", together.len())).or_default().push(block),
            _ => {}
        }
    }
    assert!(together.len() > 8, "{together:?}");
    let faults =
        faults_of(together, |(name, blocks)| run(&sandbox, &name, &blocks).err().into_iter().collect());
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

fn run(sandbox: &Sandbox, name: &str, blocks: &[Block]) -> Result<(), String> {
    let place = blocks[0].place();
    let program = if name.starts_with("alone-") {
        blocks[0].text.clone()
    } else {
        let path = frame_path(name, "mjs");
        let mut frame =
            std::fs::read_to_string(&path).map_err(|error| format!("{place}: {name}: {error}"))?;
        for (number, block) in blocks.iter().enumerate() {
            let here = format!("// block {}\n", number + 1);
            let is_code = block.language == "js";
            if is_code && !frame.contains(&here) {
                return Err(format!("{}: {name} has no place for it", block.place()));
            }
            frame = frame.replace(&here, &block.text);
        }
        frame
    };
    let said: Vec<&str> = blocks.iter().map(|block| block.text.as_str()).collect();
    let output = sandbox.node(name, &sandbox.meant(&program), &said.join("\n"));
    if output.status.success() {
        return Ok(());
    }
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("{place}: in the frame {name}: {}\n{stdout}{stderr}", output.status))
}
