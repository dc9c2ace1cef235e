use std::collections::HashSet;

use turnpike_lab::{Reply, shared, unique_prefix};

#[test]
fn each_has_keys_of_its_own() {
    let prefixes: HashSet<String> = (0..1000).map(|_| unique_prefix()).collect();
    assert_eq!(prefixes.len(), 1000);
    for prefix in prefixes.iter().take(3) {
        let key = format!("{{{prefix}:l0}}:meta");
        assert_eq!(shared().command(&key, &["INCR", &key]).unwrap(), Reply::Integer(1));
    }
    assert_eq!(shared().seeds().len(), shared().seeds_text().split(',').count());
}
