//! R3: the pod was made again on its node: a new namespace, the pins are still there.

use std::time::Instant;

use natgw_tests::{
    ClusterLab,
    cluster::shared,
    cluster_lab::Pins,
    recovery::Outcome,
    traffic::{Traffic, rules},
};

#[test]
fn r3_a_pod_that_is_made_again_on_its_node_carries_the_same_connections_on() {
    let mut outcome = Outcome::of("R3");
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &rules());
    let traffic = Traffic::start(&lab.net);
    lab.rebuild_sandbox(Pins::Kept);
    let since = Instant::now();
    let daemon = lab.gateway.spawn();
    traffic.wait_back();
    outcome.took(since.elapsed());
    daemon.wait_complete();
    lab.replace_daemon(daemon);
    let seen = traffic.end(&lab.net);
    outcome.traffic(&seen);
    outcome.note("what was lost was sent while the pod had no interfaces, no container, and until the new one attached the programs");
    seen.assert_survived();
    outcome.hand_in();
}
