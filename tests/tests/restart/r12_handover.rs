//! R12: the old container is still terminating while the new one starts.

use std::time::Duration;

use natgw_tests::{Lab, maps::MapDump};

use natgw_tests::traffic::{Traffic, assert_unchanged, rules};

#[test]
fn r12_a_second_daemon_waits_for_the_first_and_takes_over_within_a_second() {
    let mut lab = Lab::new(&rules());
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::rules(&lab.gateway);
    let first = lab.daemon().pid();
    let mut second = lab.gateway.spawn();
    let waiting = second.wait_line(0, "that it waits", |line| line.text.contains("waiting"));
    assert!(waiting.text.contains(&first.to_string()), "it names the holder {first}: {}", waiting.text);
    traffic.flow();
    assert!(second.logs().lines().iter().all(|line| line.message() != "ready"), "one writer at a time");
    let status = lab.daemon_mut().term();
    let ended = std::time::Instant::now();
    assert!(status.success(), "{status}");
    let ready = second.wait_ready();
    let took = ready.at.saturating_duration_since(ended);
    assert!(took < Duration::from_secs(1), "hand-over took {took:?}");
    assert_eq!(ready.number("map_writes"), Some(0), "{}", ready.text);
    lab.replace_daemon(second);
    assert_unchanged(&before, &MapDump::rules(&lab.gateway));
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn r12_a_second_daemon_takes_over_from_a_killed_one() {
    let mut lab = Lab::new(&rules());
    let traffic = Traffic::start(&lab.net);
    let mut second = lab.gateway.spawn();
    second.wait_line(0, "that it waits", |line| line.text.contains("waiting"));
    lab.daemon_mut().kill9();
    let ended = std::time::Instant::now();
    let ready = second.wait_ready();
    let took = ready.at.saturating_duration_since(ended);
    assert!(took < Duration::from_secs(1), "hand-over took {took:?}");
    lab.replace_daemon(second);
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn r12_a_daemon_that_may_not_wait_says_who_holds_the_gateway() {
    let lab = Lab::new(&rules());
    let binary = natgw_tests::gateway::natgw_binary();
    let mut second = lab.gateway.spawn_binary(&binary, &["--lock-wait", "0s"]);
    let status = second.wait();
    assert!(!status.success(), "it must not run beside the first");
    // Its last words may still be in the pipe.
    let said = second.logs().closed();
    let first = lab.daemon().pid().to_string();
    assert!(said.contains(&first) && said.contains("gw1"), "it names holder {first} and gateway: {said}");
    let traffic = Traffic::start(&lab.net);
    traffic.assert_unharmed(&lab.net);
}
