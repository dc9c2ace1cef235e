//! Commands in a shell beside a running system, page by page.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use turnpike_book::Block;

use super::sandbox::Sandbox;
use super::way::Way;
use super::{blocks_of, faults_of, frame_path};
use crate::harness::turnpike::signed;

pub(super) const TUTORIAL: &str = "docs/tutorial.md";
/// In a frame, where the block comes.
const PLACE: &str = "# the block";

#[test]
fn commands_do_what_they_say() {
    let (nodes, prefix) = (turnpike_lab::shared().seeds_text(), turnpike_lab::unique_prefix());
    let own = [("REDIS_NODES", nodes.as_str()), ("TURNPIKE_REDIS_PREFIX", prefix.as_str())];
    let mut sandbox = Sandbox::start(&own);
    for (name, value) in own {
        sandbox.tell(name, value);
    }
    // In most commands it is a backend that asks.
    sandbox.tell("TOKEN", &signed(&serde_json::json!({"sub": "shop", "role": "service"})));
    sandbox.substitute("redis-1:6379,redis-2:6379,redis-3:6379", &nodes);
    let blocks = blocks_of(|way| matches!(way, Way::Commands | Way::Frame(_)));
    // Pages run beside one another: whom one revokes or bans is mallory, and nobody whom another signs in.
    let mut pages: BTreeMap<PathBuf, Vec<(Block, String)>> = BTreeMap::new();
    for (block, way) in blocks {
        if block.page == Path::new(TUTORIAL) || block.language != "sh" {
            continue;
        }
        let commands = match way {
            Way::Frame(name) => {
                let frame = std::fs::read_to_string(frame_path(&name, "sh")).unwrap();
                assert!(frame.contains(PLACE), "{name} has no place for the block");
                frame.replace(PLACE, &block.text)
            }
            _ => block.text.clone(),
        };
        pages.entry(block.page.clone()).or_default().push((block, commands));
    }
    assert!(pages.len() > 10, "{pages:?}");
    let faults = faults_of(pages.into_values(), |blocks| {
        blocks.iter().filter_map(|(block, commands)| fault(&sandbox, block, commands)).collect()
    });
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

fn fault(sandbox: &Sandbox, block: &Block, commands: &str) -> Option<String> {
    let output = sandbox.run(&block.page, commands);
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    println!("{}: {}\n{}", block.place(), output.status, said(&output.stdout));
    (!output.status.success()).then(|| {
        let (stdout, stderr) = (said(&output.stdout), said(&output.stderr));
        format!("{}: {}\n{}{stdout}{stderr}", block.place(), output.status, block.text)
    })
}
