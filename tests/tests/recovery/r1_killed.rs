//! R1: the daemon is killed and started again; namespace and bpffs intact.

use natgw_tests::{
    ClusterLab,
    cluster::shared,
    maps::MapDump,
    recovery::Outcome,
    traffic::{Traffic, assert_unchanged, rules},
};

const KILLS: usize = 3;

#[test]
fn r1_a_killed_container_loses_no_packet_and_its_successor_writes_no_map() {
    let mut outcome = Outcome::of("R1");
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &rules());
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::rules(&lab.gateway);
    for _ in 0..KILLS {
        lab.daemon_mut().kill9();
        traffic.flow();
        let mut daemon = lab.gateway.spawn();
        let ready = daemon.wait_ready();
        outcome.map_writes(ready.number("map_writes"));
        outcome.took(daemon.ready_after());
        lab.replace_daemon(daemon);
        traffic.flow();
        assert_unchanged(&before, &MapDump::rules(&lab.gateway));
    }
    let seen = traffic.end(&lab.net);
    outcome.traffic(&seen);
    outcome.note(format!("{KILLS} kills, 0 map writes; new flows are translated while no daemon runs"));
    seen.assert_unharmed();
    outcome.hand_in();
}
