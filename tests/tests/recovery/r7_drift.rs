//! R7: somebody changes by hand what natgw has set.

use std::time::Instant;

use natgw_tests::{
    ClusterLab, Proto, Rules, Topology, clock,
    cluster::shared,
    command,
    daemon::PATIENCE,
    lab::EIP3,
    maps::{self, MapDump},
    observed::{self, ANY_PORT},
    recovery::Outcome,
    topology::{CLIENT, POD2},
    traffic::{Traffic, assert_unchanged, rules},
};
use natgw_userspace::core::objects::Kind;

/// Rules beside those that the traffic uses.
fn more() -> Rules {
    rules().eip("eip3", EIP3).dnat("eip3", Proto::Tcp, 90, CLIENT, 1).dnat("eip3", Proto::Tcp, 91, CLIENT, 1)
}

/// How many repairs of this kind the daemon has counted.
fn repaired(lab: &ClusterLab<'_>, what: &str) -> u64 {
    let series = observed::scrape(observed::address(lab.daemon()));
    let find = format!("natgw_drift_repairs_total{{what=\"{what}\"}}");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    let count = series.get(&find).map(|count| *count as u64);
    count.unwrap_or_else(|| panic!("no {find} in {:?}", series.keys()))
}

fn wait_repaired(lab: &ClusterLab<'_>, what: &str, count: u64) {
    clock::eventually(&format!("{count} repairs of {what}"), PATIENCE, || repaired(lab, what) >= count);
}

#[test]
fn r7_drift_is_repaired_counted_and_an_event_says_what() {
    let mut outcome = Outcome::of("R7");
    let cluster = shared();
    let lab = |rules: &Rules, args: &[&str]| {
        ClusterLab::on(&cluster, Topology::new(), rules, &cluster.admin_kubeconfig(), &[&ANY_PORT, args].concat())
    };
    // Without a program the kernel itself resets the connections to an EIP: those two have no traffic until they are well.
    let (entries, detached, flushed) = (lab(&more(), &[]), lab(&rules(), &[]), lab(&rules(), &["--attach", "clsact"]));
    let before = MapDump::rules(&entries.gateway);
    let traffic = Traffic::start(&entries.net);

    let since = Instant::now();
    let key = |port: u8| [203, 0, 113, 12, 0, port, 6, 0];
    maps::delete(&entries.gateway, "DNAT", &key(90));
    let [a, b, c, d] = POD2.octets();
    maps::put(&entries.gateway, "DNAT", &key(91), &[a, b, c, d, 0, 99, 0, 0]);
    entries.net.gw.command("ip", &["addr", "del", &format!("{EIP3}/24"), "dev", "net1"]);
    let link = detached.gateway.pins().join("links/ext_in").display().to_string();
    command::run("bpftool", &["link", "detach", "pinned", &link]);
    flushed.net.gw.command("tc", &["qdisc", "del", "dev", "net1", "clsact"]);

    wait_repaired(&entries, "address", 1);
    wait_repaired(&entries, "map_entry", 2);
    wait_repaired(&detached, "program", 1);
    wait_repaired(&flushed, "program", 1);
    outcome.took(since.elapsed());
    assert_unchanged(&before, &MapDump::rules(&entries.gateway));
    let address = entries.net.gw.command("ip", &["-o", "-4", "addr", "show", "dev", "net1"]);
    assert!(address.contains(&EIP3.to_string()), "{address}");
    for (lab, what) in [
        (&entries, "DNAT entry 203.0.113.12:90"),
        (&entries, "DNAT entry 203.0.113.12:91"),
        (&detached, "program ext_in on net1"),
        (&flushed, "on net1"),
    ] {
        let events = || lab.objects.events(Kind::VpcNatGateway, lab.gateway.name());
        let told = || events().iter().any(|event| event.contains("DriftRepaired") && event.contains(what));
        clock::eventually(&format!("an Event that {what} was repaired"), PATIENCE, told);
    }
    let seen = traffic.end(&entries.net);
    outcome.traffic(&seen);
    outcome.note(
        "each repair is counted in `natgw_drift_repairs_total` and told in an Event; the resync interval is 10 s; a \
         detached program and a flushed qdisc are on gateways of their own, which carry nothing until they are repaired",
    );
    seen.assert_unharmed();
    for lab in [&detached, &flushed] {
        Traffic::start(&lab.net).assert_unharmed(&lab.net);
    }
    outcome.hand_in();
}
