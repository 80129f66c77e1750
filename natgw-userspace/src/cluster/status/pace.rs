//! When a status may be written: bad news only when it lasts, the same thing not again at once, failures ever later.
//! Pure: time is handed in.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use super::wanted::Write;
use crate::core::objects::ObjectKey;

/// A rule may be heard of before its EIP: what is wrong for less than this is not said.
const LASTING: Duration = Duration::from_millis(300);
/// After a write: its echo arrives within this, else somebody took it away.
const ECHO: Duration = Duration::from_secs(2);
/// The longest wait between writes of the same, or between failures.
const LONGEST: Duration = Duration::from_mins(1);

#[derive(Debug)]
struct Item {
    write: Write,
    due: Instant,
    running: bool,
    /// What was asked for since it is under way.
    next: Next,
}

/// What comes after a write that is under way.
#[derive(Debug, Clone, PartialEq)]
enum Next {
    /// The same, should it fail.
    Same,
    /// This.
    Other(Write),
    /// Nothing: it need not be said any more.
    Nothing,
}

/// What was written last about an object, or tried.
#[derive(Debug)]
struct Last {
    write: Write,
    times: u32,
    not_before: Instant,
}

/// Statuses that have to be written, and when.
#[derive(Debug, Default)]
pub(super) struct Pace {
    items: BTreeMap<ObjectKey, Item>,
    /// The items that are not under way, in the order in which they are due.
    due: BTreeSet<(Instant, ObjectKey)>,
    last: BTreeMap<ObjectKey, Last>,
}

impl Pace {
    /// Everything that has to be written now; what is not in it needs no writing any more.
    pub(super) fn set(&mut self, writes: BTreeMap<ObjectKey, Write>, now: Instant) {
        self.items.retain(|key, item| item.running || writes.contains_key(key));
        for (_, item) in self.items.iter_mut().filter(|(key, _)| !writes.contains_key(*key)) {
            item.next = Next::Nothing;
        }
        for (key, write) in writes {
            self.put(key, write, now);
        }
        let waiting = self.items.iter().filter(|(_, item)| !item.running);
        self.due = waiting.map(|(key, item)| (item.due, key.clone())).collect();
    }

    /// What has to be written about some objects, `None` for nothing any more. The others stay as they are.
    pub(super) fn update(&mut self, changes: BTreeMap<ObjectKey, Option<Write>>, now: Instant) {
        for (key, write) in changes {
            if let Some(item) = self.items.get(&key).filter(|item| !item.running) {
                self.due.remove(&(item.due, key.clone()));
                if write.is_none() {
                    self.items.remove(&key);
                }
            }
            let Some(write) = write else {
                if let Some(item) = self.items.get_mut(&key) {
                    item.next = Next::Nothing;
                }
                continue;
            };
            self.put(key.clone(), write, now);
            if let Some(item) = self.items.get(&key).filter(|item| !item.running) {
                self.due.insert((item.due, key));
            }
        }
    }

    /// Whoever calls puts the item into the order of those that are due.
    fn put(&mut self, key: ObjectKey, write: Write, now: Instant) {
        match self.items.get_mut(&key) {
            Some(item) if item.running => item.next = Next::Other(write),
            Some(item) => {
                if write.is_good() && !item.write.is_good() {
                    item.due = now;
                }
                item.write = write;
            }
            None => {
                let again = self.last.get(&key).filter(|last| last.write.says_the_same(&write));
                let fresh = if write.is_good() { now } else { now + LASTING };
                let due = again.map_or(fresh, |last| last.not_before.max(now));
                self.items.insert(key, Item { write, due, running: false, next: Next::Same });
            }
        }
    }

    /// A write that is due; it is taken to be under way.
    pub(super) fn start(&mut self, now: Instant) -> Option<(ObjectKey, Write)> {
        let (_, key) = self.due.first().filter(|(due, _)| *due <= now)?.clone();
        self.due.pop_first();
        let item = self.items.get_mut(&key)?;
        item.running = true;
        Some((key, item.write.clone()))
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// A write has ended. A failed one stays.
    pub(super) fn finish(&mut self, key: &ObjectKey, outcome: Outcome, now: Instant) {
        let Some(item) = self.items.remove(key) else { return };
        if outcome == Outcome::Gone {
            self.last.remove(key);
            // What is to be said of another object that has the name now.
            if let Next::Other(write) = item.next
                && write.uid != item.write.uid
            {
                self.again(key, write, now);
            }
            return;
        }
        let times =
            self.last.get(key).filter(|last| last.write.says_the_same(&item.write)).map_or(0, |last| last.times);
        let not_before = now + ECHO.saturating_mul(1 << times.min(10)).min(LONGEST);
        self.last.insert(key.clone(), Last { write: item.write.clone(), times: times + 1, not_before });
        match item.next {
            Next::Other(write) if !write.says_the_same(&item.write) => self.again(key, write, now),
            Next::Other(write) if outcome == Outcome::Failed => self.again(key, write, not_before),
            Next::Same if outcome == Outcome::Failed => self.again(key, item.write, not_before),
            Next::Other(_) | Next::Same | Next::Nothing => {}
        }
    }

    fn again(&mut self, key: &ObjectKey, write: Write, due: Instant) {
        self.due.insert((due, key.clone()));
        self.items.insert(key.clone(), Item { write, due, running: false, next: Next::Same });
    }
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The server has it.
    Written,
    /// Worth another try.
    Failed,
    /// The object is no more, or is another one.
    Gone,
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;
    use crate::{cluster::status::condition::Condition, core::objects::Kind};

    fn key() -> ObjectKey {
        ObjectKey::new(Kind::IptablesEip, "a")
    }

    fn write(good: bool, reason: &str) -> Write {
        let conditions = vec![Condition::new("Programmed", good, reason, "", 1)];
        Write { uid: "u".to_owned(), conditions, fields: Map::new(), before: Value::Null }
    }

    fn one(write: Write) -> BTreeMap<ObjectKey, Write> {
        BTreeMap::from([(key(), write)])
    }

    #[test]
    fn what_is_to_be_said_of_an_object_made_anew_outlives_the_end_of_the_old_one() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let anew = Write { uid: "v".to_owned(), ..write(true, "Programmed") };
        pace.set(one(write(true, "Programmed")), now);
        assert!(pace.start(now).is_some());
        pace.update(BTreeMap::from([(key(), Some(anew.clone()))]), now);
        pace.finish(&key(), Outcome::Gone, now);
        assert_eq!(pace.start(now), Some((key(), anew)));
        // Of the same object there is nothing more to say.
        pace.update(BTreeMap::from([(key(), Some(Write { uid: "v".to_owned(), ..write(false, "EipMissing") }))]), now);
        pace.finish(&key(), Outcome::Gone, now);
        assert_eq!(pace.start(now + LONGEST), None);
    }

    #[test]
    fn an_update_concerns_its_objects_and_no_other() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let other = ObjectKey::new(Kind::IptablesEip, "b");
        let good = write(true, "Programmed");
        pace.set(BTreeMap::from([(key(), write(false, "EipMissing")), (other.clone(), good.clone())]), now);
        // Good news is due now instead of when the bad has lasted; nothing any more is nothing.
        pace.update(BTreeMap::from([(key(), Some(good.clone()))]), now);
        assert_eq!(pace.next_due(), Some(now));
        pace.update(BTreeMap::from([(other.clone(), None)]), now);
        assert_eq!(pace.start(now), Some((key(), good.clone())));
        assert_eq!(pace.start(now + LONGEST), None);
        // What changes while it is under way is written after it.
        pace.update(BTreeMap::from([(key(), Some(write(false, "EipMissing"))), (other.clone(), None)]), now);
        pace.finish(&key(), Outcome::Written, now);
        assert_eq!(pace.start(now), Some((key(), write(false, "EipMissing"))));
        // As with `set`, the same again is not written at once.
        pace.finish(&key(), Outcome::Written, now);
        pace.update(BTreeMap::from([(key(), Some(write(false, "EipMissing")))]), now);
        assert_eq!(pace.start(now), None);
        assert_eq!(pace.next_due(), Some(now + ECHO));
    }

    #[test]
    fn what_need_not_be_said_any_more_is_not_tried_again() {
        type Withdraw = fn(&mut Pace, Instant);
        let with_all: Withdraw = |pace, now| pace.set(BTreeMap::new(), now);
        let alone: Withdraw = |pace, now| pace.update(BTreeMap::from([(key(), None)]), now);
        for withdraw in [with_all, alone] {
            let (mut pace, now) = (Pace::default(), Instant::now());
            pace.set(one(write(false, "EipMissing")), now);
            pace.start(now + LASTING).expect("due");
            withdraw(&mut pace, now + LASTING);
            pace.finish(&key(), Outcome::Failed, now + LASTING);
            assert_eq!(pace.next_due(), None);
            // But if it has to be said after all, it is.
            pace.update(BTreeMap::from([(key(), Some(write(false, "EipMissing")))]), now + LASTING);
            pace.start(now + LASTING + ECHO).expect("due");
            withdraw(&mut pace, now + LASTING + ECHO);
            pace.update(BTreeMap::from([(key(), Some(write(false, "EipMissing")))]), now + LASTING + ECHO);
            pace.finish(&key(), Outcome::Failed, now + LASTING + ECHO);
            assert_eq!(pace.next_due(), Some(now + LASTING + ECHO + ECHO * 2));
        }
    }

    #[test]
    fn good_news_is_due_at_once_and_bad_news_when_it_lasts() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.set(one(write(false, "EipMissing")), now);
        assert_eq!(pace.start(now), None);
        pace.set(one(write(false, "EipMissing")), now + LASTING / 2);
        assert_eq!(pace.next_due(), Some(now + LASTING), "the wait does not begin anew");
        pace.set(BTreeMap::new(), now + LASTING / 2);
        assert_eq!(pace.next_due(), None);
        pace.set(one(write(true, "Programmed")), now);
        assert!(pace.start(now).is_some());
    }

    #[test]
    fn the_same_is_not_written_again_before_its_echo_and_then_ever_more_rarely() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..8 {
            pace.set(one(write(true, "Programmed")), now);
            let due = pace.next_due().expect("somebody takes it away every time");
            waits.push((due - now).as_secs());
            now = due;
            pace.start(now).expect("due");
            pace.finish(&key(), Outcome::Written, now);
        }
        assert_eq!(waits, [0, 2, 4, 8, 16, 32, 60, 60]);
        pace.set(one(write(true, "Other")), now);
        assert_eq!(pace.next_due(), Some(now), "what is new does not wait");
    }

    #[test]
    fn a_failed_write_is_tried_again_by_itself_and_a_gone_object_is_forgotten() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.set(one(write(true, "Programmed")), now);
        pace.start(now).expect("due");
        pace.finish(&key(), Outcome::Failed, now);
        assert_eq!(pace.next_due(), Some(now + ECHO));
        pace.start(now + ECHO).expect("due");
        pace.finish(&key(), Outcome::Gone, now + ECHO);
        assert_eq!(pace.next_due(), None);
    }

    #[test]
    fn what_changes_while_a_write_is_under_way_is_written_after_it() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.set(one(write(true, "A")), now);
        pace.start(now).expect("due");
        pace.set(one(write(true, "B")), now);
        assert_eq!(pace.start(now), None);
        pace.finish(&key(), Outcome::Written, now);
        assert_eq!(pace.start(now).map(|(_, write)| write.conditions[0].reason.clone()), Some("B".to_owned()));
    }
}
