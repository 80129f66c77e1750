//! R12: a second daemon while the first one runs. (That one ends in order: `recovery`.)

use std::time::Duration;

use natgw_tests::Lab;

use natgw_tests::traffic::{Traffic, rules};

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
