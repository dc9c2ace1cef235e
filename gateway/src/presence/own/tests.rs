use std::collections::BTreeMap;

use proptest::prelude::*;
use turnpike_wire::presence::Status;

use super::*;

fn key(user: &str, device: &str) -> RowKey {
    RowKey { user: UserId::parse(user).unwrap(), device: device.into() }
}

fn look(status: Status) -> Look {
    Look { status, activity: None }
}

#[test]
fn several_connections_can_be_one_device() {
    let mut own: OwnRows<u32> = OwnRows::new(false);
    let phone = key("alice", "phone");
    own.enter(1, &phone, &look(Status::Online));
    own.enter(2, &phone, &look(Status::Online));
    assert_eq!(own.batch(0).unwrap().len(), 1);
    own.written(Ok(()), 0);
    assert_eq!(own.leave(&phone.user, &1), None);
    assert!(own.batch(0).is_none(), "the other one is still there");
    assert_eq!(own.leave(&phone.user, &2), Some(phone.clone()));
    assert_eq!(own.batch(0).unwrap(), [Change { key: phone, row: None }]);
    own.written(Ok(()), 0);
    assert!(own.is_empty());
}

#[test]
fn a_broken_connection_is_back_in_time_or_not() {
    let mut own: OwnRows<u32> = OwnRows::new(false);
    let phone = key("alice", "phone");
    own.enter(1, &phone, &look(Status::Online));
    own.batch(0);
    own.written(Ok(()), 0);
    own.lose(&phone.user, &1, 1_000);
    assert!(own.expire(1_000 + GRACE_MS - 1).is_empty());
    own.enter(2, &phone, &look(Status::Online));
    assert!(own.expire(1_000 + GRACE_MS).is_empty());
    assert!(own.batch(6_000).is_none(), "nothing has changed");
    own.lose(&phone.user, &2, 7_000);
    assert_eq!(own.due_ms(), Some(7_000 + GRACE_MS));
    assert_eq!(own.expire(7_000 + GRACE_MS), [phone]);
    assert_eq!(own.batch(11_000).unwrap().len(), 1);
}

#[test]
fn a_connection_that_names_another_device_is_that_one() {
    let mut own: OwnRows<u32> = OwnRows::new(false);
    let (phone, laptop) = (key("alice", "phone"), key("alice", "laptop"));
    own.enter(1, &phone, &look(Status::Online));
    assert_eq!(own.enter(1, &laptop, &look(Status::Online)), Some(phone));
    let rows: Vec<RowKey> = own.rows().map(|(key, _)| key.clone()).collect();
    assert_eq!(rows, std::slice::from_ref(&laptop));
    assert_eq!(own.batch(0).unwrap(), [Change { key: laptop, row: Some(Look::default().to_row()) }]);
}

#[test]
fn invisible_rows_are_written_in_personal_rooms_alone() {
    let phone = key("alice", "phone");
    let mut public: OwnRows<u32> = OwnRows::new(false);
    public.enter(1, &phone, &look(Status::Invisible));
    assert!(public.batch(0).is_none());
    public.enter(1, &phone, &look(Status::Away));
    assert!(public.batch(0).is_some());
    public.written(Ok(()), 0);
    public.enter(1, &phone, &look(Status::Invisible));
    assert_eq!(public.batch(0).unwrap(), [Change { key: phone.clone(), row: None }]);
    let mut personal: OwnRows<u32> = OwnRows::new(true);
    personal.enter(1, &phone, &look(Status::Invisible));
    assert!(personal.batch(0).unwrap()[0].row.is_some());
}

#[test]
fn what_the_store_has_otherwise_is_written_again() {
    let mut own: OwnRows<u32> = OwnRows::new(false);
    let (phone, laptop, tablet) = (key("alice", "phone"), key("alice", "laptop"), key("alice", "tablet"));
    for (holder, device) in [(1, &phone), (2, &laptop)] {
        own.enter(holder, device, &look(Status::Busy));
    }
    let written = own.batch(0).unwrap();
    own.written(Ok(()), 0);
    let all = written.into_iter().map(|change| (change.key, change.row.unwrap()));
    let mut stored: HashMap<RowKey, Row> = all.collect();
    own.compare(stored.clone());
    assert!(own.batch(0).is_none());
    // One is lost, one is as it was before, and one was never heard of.
    stored.remove(&phone);
    stored.insert(laptop.clone(), look(Status::Away).to_row());
    stored.insert(tablet.clone(), look(Status::Online).to_row());
    own.compare(stored);
    let mut again = own.batch(0).unwrap();
    again.sort_by(|one, other| one.key.cmp(&other.key));
    let busy = Some(look(Status::Busy).to_row());
    let rows = [(laptop, busy.clone()), (phone, busy), (tablet, None)];
    assert_eq!(again, rows.map(|(key, row)| Change { key, row }));
}

/// The store is away, and devices come and go: what waits is no more than there were.
#[test]
fn nothing_grows_while_the_store_is_away() {
    let mut own: OwnRows<u32> = OwnRows::new(false);
    for number in 0..10_000_u32 {
        let device = key("alice", &format!("d{number}"));
        own.enter(number, &device, &look(Status::Online));
        let now_ms = u64::from(number) * 1_000;
        if own.batch(now_ms).is_some() {
            own.written(Err(0), now_ms);
        }
        own.leave(&device.user, &number);
        let kept = own.devices.iter().count();
        let dirty = own.work.as_ref().map_or(0, |work| work.dirty.len());
        assert!(kept <= 1 && dirty <= 1, "{kept} {dirty}");
    }
    let now_ms = 20_000_000;
    assert_eq!(own.batch(now_ms).unwrap().len(), 1);
    own.written(Ok(()), now_ms);
    assert!(own.batch(now_ms).is_none());
    assert!(own.is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Enter(u32, u8, u8),
    Leave(u32),
    Lose(u32),
    Wait(u64),
    Begin,
    /// The batch was written or not, and the answer says so or not.
    End {
        done: bool,
        answered: bool,
    },
    Compare,
    Doubt,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_u32, 0..3_u8, 0..4_u8).prop_map(|(holder, device, look)| Step::Enter(holder, device, look)),
        2 => (0..6_u32).prop_map(Step::Leave),
        1 => (0..6_u32).prop_map(Step::Lose),
        2 => (0..3_000_u64).prop_map(Step::Wait),
        4 => Just(Step::Begin),
        4 => (any::<bool>(), any::<bool>()).prop_map(|(done, answered)| Step::End { done, answered }),
        1 => Just(Step::Compare),
        1 => Just(Step::Doubt),
    ]
}

proptest! {
    /// Whatever fails, in the end the store has what is there.
    #[test]
    fn the_store_follows(steps in proptest::collection::vec(step(), 1..80), personal in any::<bool>()) {
        const STATUSES: [Status; 4] = [Status::Online, Status::Busy, Status::Away, Status::Invisible];
        let mut own: OwnRows<u32> = OwnRows::new(personal);
        let mut stored: HashMap<RowKey, Row> = HashMap::new();
        let (mut now_ms, mut under_way) = (0, None);
        let alice = UserId::parse("alice").unwrap();
        let write = |changes: &[Change], stored: &mut HashMap<RowKey, Row>| {
            for Change { key, row } in changes {
                match row {
                    Some(row) => drop(stored.insert(key.clone(), row.clone())),
                    None => drop(stored.remove(key)),
                }
            }
        };
        for step in steps {
            match step {
                Step::Enter(holder, device, status) => {
                    let device = key("alice", &format!("d{device}"));
                    own.enter(holder, &device, &look(STATUSES[usize::from(status)]));
                }
                Step::Leave(holder) => drop(own.leave(&alice, &holder)),
                Step::Lose(holder) => own.lose(&alice, &holder, now_ms),
                Step::Wait(wait_ms) => {
                    now_ms += wait_ms;
                    own.expire(now_ms);
                }
                Step::Begin => under_way = under_way.or(own.batch(now_ms)),
                Step::End { done, answered } => {
                    if let Some(changes) = under_way.take() {
                        if done {
                            write(&changes, &mut stored);
                        }
                        own.written(if done && answered { Ok(()) } else { Err(0) }, now_ms);
                    }
                }
                Step::Compare => own.compare(stored.clone()),
                Step::Doubt => own.write_all_again(),
            }
        }
        if under_way.is_some() {
            own.written(Err(0), now_ms);
        }
        for _ in 0..20 {
            now_ms += 1_000;
            own.expire(now_ms);
            if let Some(changes) = own.batch(now_ms) {
                write(&changes, &mut stored);
                own.written(Ok(()), now_ms);
            }
        }
        let text = |rows: &mut dyn Iterator<Item = (RowKey, Row)>| {
            rows.map(|(key, row)| (key, row.status)).collect::<BTreeMap<_, _>>()
        };
        let wanted = text(&mut own.rows().filter(|(_, look)| personal || look.is_visible()).map(|(key, look)| (key.clone(), look.to_row())));
        prop_assert_eq!(text(&mut stored.into_iter()), wanted);
        let connected = own.devices.iter().any(|device| !device.holders.is_empty());
        prop_assert!(connected || own.is_empty());
        prop_assert_eq!(own.due_ms(), None);
    }
}
