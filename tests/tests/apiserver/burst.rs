//! Many objects at once. (How long one takes among many: `p9_latency` of layer `recovery`.)

use std::time::{Duration, Instant};

use natgw_tests::{
    Cluster, ClusterLab, Proto, Rules,
    topology::POD2,
    traffic::{Traffic, rules},
};

/// Rules that nobody uses, ports from 20000 on.
fn many(count: u16, pod_port: u16) -> Rules {
    (0..count).fold(rules(), |rules, n| rules.dnat("eip1", Proto::Tcp, 20_000 + n, POD2, pod_port))
}

#[test]
fn two_thousand_objects_that_change_at_once_are_in_force_soon_and_disturb_nothing() {
    let cluster = Cluster::start();
    let mut lab = ClusterLab::new(&cluster, &many(2000, 1));
    let traffic = Traffic::start(&lab.net);
    lab.objects.set(&many(2000, 2));
    let said = Instant::now();
    lab.wait_maps(|maps| maps.entries("DNAT").iter().filter(|entry| entry.contains("[0,2]")).count() == 2000);
    assert!(said.elapsed() < Duration::from_secs(5), "in force {:?} after the last write", said.elapsed());
    lab.set(&rules(), |maps| maps.len("DNAT") == 2);
    traffic.assert_unharmed(&lab.net);
}
