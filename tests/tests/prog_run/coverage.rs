//! The tables together reach every number of the ABI.

use std::collections::BTreeSet;

use natgw_common::abi::{Counter, DropReason, SessionStat};

use crate::support::all_rows;

#[test]
fn every_counter_drop_reason_and_session_event_is_reached_by_some_row() {
    let rows = all_rows();
    let counters: BTreeSet<_> = rows.iter().flat_map(|row| row.counts.counters.clone()).collect();
    let drops: BTreeSet<_> = rows.iter().flat_map(|row| row.counts.drops.clone()).collect();
    let stats: BTreeSet<_> = rows.iter().flat_map(|row| row.counts.stats.keys().copied()).collect();
    let missing: Vec<_> = Counter::ALL.iter().filter(|counter| !counters.contains(counter)).collect();
    assert!(missing.is_empty(), "no row counts {missing:?}");
    let missing: Vec<_> = DropReason::ALL.iter().filter(|reason| !drops.contains(reason)).collect();
    assert!(missing.is_empty(), "no row drops for {missing:?}");
    let missing: Vec<_> = SessionStat::ALL.iter().filter(|stat| !stats.contains(stat)).collect();
    assert!(missing.is_empty(), "no row counts {missing:?}");
}

#[test]
fn every_row_says_what_it_is_about() {
    let rows = all_rows();
    assert!(rows.len() > 200, "{} rows", rows.len());
    for row in &rows {
        assert!(!row.what.is_empty() && !row.what.ends_with('.'), "`{}`", row.what);
    }
}
