//! R5: the API server cannot be reached when the daemon starts.

use std::time::Instant;

use natgw_tests::{
    ClusterLab, Topology, clock,
    cluster::shared,
    daemon::PATIENCE,
    lab::EIP3,
    maps::MapDump,
    observed::{self, ANY_PORT},
    recovery::Outcome,
    traffic::{Traffic, assert_unchanged, rules},
};

#[test]
fn r5_a_start_without_an_api_server_keeps_what_is_pinned_and_picks_up_when_it_returns() {
    let mut outcome = Outcome::of("R5");
    let cluster = shared();
    let proxy = cluster.proxy();
    let kubeconfig = cluster.admin_kubeconfig_through(&proxy);
    let mut lab = ClusterLab::on(&cluster, Topology::new(), &rules(), &kubeconfig, &ANY_PORT);
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::rules(&lab.gateway);

    lab.daemon_mut().kill9();
    proxy.refuse();
    proxy.cut();
    let mut daemon = lab.gateway.spawn();
    let ready = daemon.wait_ready();
    assert_eq!(ready.number("map_writes"), Some(0), "{}", ready.text);
    let address = observed::address(&daemon);
    let says = |wanted: &str| {
        let (status, body) = observed::get(address, "/readyz");
        (status == 200) && body.contains(wanted)
    };
    clock::eventually("/readyz says that what is known is stale", PATIENCE, || says("stale: "));
    assert_eq!(
        observed::get(address, "/healthz"),
        (200, "live\n".to_owned()),
        "a restart would not bring the API server back"
    );
    lab.replace_daemon(daemon);
    // An EIP is new, and the daemon is not told yet.
    lab.objects.set(&rules().eip("eip3", EIP3));
    traffic.flow();
    assert_unchanged(&before, &MapDump::rules(&lab.gateway));

    proxy.forward();
    let back = Instant::now();
    lab.wait_maps(|maps| maps.len("EIPS") == 3);
    outcome.took(back.elapsed());
    clock::eventually("/readyz is content again", PATIENCE, || says("ready") && !says("stale: "));
    let seen = traffic.end(&lab.net);
    outcome.traffic(&seen);
    outcome.note("the pinned rules forward meanwhile and nothing is removed; `/readyz` says stale");
    seen.assert_unharmed();
    outcome.hand_in();
}
