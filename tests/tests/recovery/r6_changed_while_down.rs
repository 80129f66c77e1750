//! R6: objects are changed and deleted while the daemon is down.

use std::time::Instant;

use natgw_tests::{
    ClusterLab, Proto,
    cluster::shared,
    lab::EIP3,
    maps::MapDump,
    recovery::Outcome,
    topology::{CLIENT, POD2},
    traffic::{Traffic, rules},
};

#[test]
fn r6_what_changed_while_the_container_was_down_is_applied_and_nothing_else() {
    let mut outcome = Outcome::of("R6");
    let cluster = shared();
    let changed = |port| rules().dnat("eip1", Proto::Tcp, 91, POD2, port);
    let mut lab = ClusterLab::new(&cluster, &changed(1).eip("eip3", EIP3).dnat("eip3", Proto::Tcp, 90, CLIENT, 1));
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::rules(&lab.gateway);
    lab.daemon_mut().kill9();
    lab.objects.set(&changed(2).dnat("eip1", Proto::Tcp, 92, POD2, 1));
    traffic.flow();
    let since = Instant::now();
    lab.start();
    outcome.took(since.elapsed());
    let after = MapDump::rules(&lab.gateway);
    let difference = before.difference(&after);
    let gone = difference.iter().filter(|line| line.starts_with('-')).count();
    assert_eq!((gone, difference.len()), (3, 5), "an EIP and its rule gone, one changed, one new: {difference:#?}");
    let seen = traffic.end(&lab.net);
    outcome.traffic(&seen);
    outcome.note("an EIP and its rule deleted, one rule changed, one new: these four map entries differ and no other");
    seen.assert_unharmed();
    outcome.hand_in();
}
