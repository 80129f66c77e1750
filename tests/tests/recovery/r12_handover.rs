//! R12: the old container is still terminating while the new one starts.

use std::time::Instant;

use natgw_tests::{
    ClusterLab,
    cluster::shared,
    maps::MapDump,
    recovery::Outcome,
    traffic::{Traffic, assert_unchanged, rules},
};

#[test]
fn r12_the_next_container_waits_for_the_last_one_and_takes_over_within_a_second() {
    let mut outcome = Outcome::of("R12");
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &rules());
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::rules(&lab.gateway);
    let first = lab.daemon().pid();
    let mut next = lab.gateway.spawn();
    let waiting = next.wait_line(0, "who holds the lock", |line| line.text.contains("another natgw owns gateway"));
    assert!(waiting.text.contains(&first.to_string()), "it names the holder {first}: {}", waiting.text);
    traffic.flow();
    assert!(next.logs().lines().iter().all(|line| line.message() != "ready"), "one writer at a time");
    let status = lab.daemon_mut().term();
    let since = Instant::now();
    assert!(status.success(), "{status}");
    let ready = next.wait_ready();
    outcome.took(ready.at.saturating_duration_since(since));
    outcome.map_writes(ready.number("map_writes"));
    lab.replace_daemon(next);
    assert_unchanged(&before, &MapDump::rules(&lab.gateway));
    let seen = traffic.end(&lab.net);
    outcome.traffic(&seen);
    outcome.note("one writer at a time: the second waits for the lock and says who has it");
    seen.assert_unharmed();
    outcome.hand_in();
}
