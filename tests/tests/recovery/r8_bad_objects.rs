//! R8: malformed and conflicting objects among many good ones.

use natgw_tests::{
    ClusterLab, Proto, Rules, Topology,
    cluster::shared,
    lab::EIP3,
    maps::MapDump,
    recovery::Outcome,
    tcp::{self, TcpServer},
    topology::CLIENT,
    traffic::{Traffic, assert_unchanged, at, rules},
};
use natgw_userspace::core::objects::Kind;
use serde_json::Value;

const GOOD: u16 = 100;

fn many() -> Rules {
    (0..GOOD).fold(rules().eip("eip3", EIP3), |rules, n| rules.dnat("eip3", Proto::Tcp, 1000 + n, CLIENT, 2000 + n))
}

fn dnat(gw: &str, name: &str, port: &str) -> String {
    format!(
        "apiVersion: kubeovn.io/v1\nkind: IptablesDnatRule\nmetadata: {{name: {gw}-{name}}}\nspec: {{eip: {gw}-eip3, \
         externalPort: \"{port}\", protocol: tcp, internalIp: 10.0.1.3, internalPort: \"1\"}}"
    )
}

#[test]
fn r8_bad_objects_among_many_say_why_and_all_others_are_programmed() {
    let mut outcome = Outcome::of("R8");
    let cluster = shared();
    let mut lab = ClusterLab::on(&cluster, Topology::new(), &many(), &cluster.admin_kubeconfig(), &[]);
    let good = MapDump::rules(&lab.gateway);
    assert_eq!(
        (good.len("DNAT"), good.len("EIPS")),
        (usize::from(GOOD) + 2, 3),
        "two for the traffic, and the hundred"
    );
    let traffic = Traffic::start(&lab.net);
    let gw = lab.gateway.name().to_owned();
    let bad = |port: &str, taken: &str| many().raw(&dnat(&gw, "malformed", port)).raw(&dnat(&gw, "conflicting", taken));
    let judge = |lab: &ClusterLab<'_>, port: &str, taken: &str| {
        let taken = format!("dnat-eip3-tcp-{taken}");
        for (name, reason, why) in [("malformed", "InvalidPort", port), ("conflicting", "DuplicateDnat", &taken)] {
            let name = lab.objects.name(name);
            let says = |condition: &Value| {
                condition["status"] == "False"
                    && condition["reason"] == reason
                    && condition["message"].as_str().is_some_and(|text| text.contains(why))
            };
            let _ = lab.objects.wait_condition(Kind::IptablesDnatRule, &name, "Programmed", says);
        }
        assert_unchanged(&good, &MapDump::rules(&lab.gateway));
    };
    lab.objects.set(&bad("70000", "1007"));
    judge(&lab, "70000", "1007");
    // The same after a restart, when all of them are new to the daemon; what it says is its own.
    lab.daemon_mut().kill9();
    lab.objects.set(&bad("70001", "1008"));
    lab.start();
    judge(&lab, "70001", "1008");
    let kept = lab.objects.name("dnat-eip3-tcp-1007");
    let _ = lab.objects.wait_programmed(Kind::IptablesDnatRule, &kept, "True", "Programmed");
    let server = TcpServer::start(&lab.net.client, 2007);
    tcp::assert_transfers(&lab.net.server, at(EIP3, 1007), 1000);
    assert_eq!(server.take_peers().len(), 2, "the older rule keeps its port");
    let seen = traffic.end(&lab.net);
    outcome.traffic(&seen);
    outcome.note(format!("all {GOOD} good rules are programmed; each bad object says why in its condition"));
    seen.assert_unharmed();
    outcome.hand_in();
}
