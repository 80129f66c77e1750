//! R8: one malformed or conflicting object among many.

use std::fs;

use natgw_tests::{
    Lab, Proto, Rules,
    lab::EIP3,
    maps::MapDump,
    tcp::{self, TcpServer},
    topology::CLIENT,
};

use natgw_tests::traffic::{Traffic, at, rules};

const MALFORMED: &str = "apiVersion: kubeovn.io/v1\nkind: IptablesDnatRule\nmetadata: {name: malformed}\n\
                         spec: {eip: eip3, externalPort: \"70000\", protocol: tcp, internalIp: 10.0.1.2, internalPort: \"1\"}";
const CONFLICTING: &str = "apiVersion: kubeovn.io/v1\nkind: IptablesDnatRule\n\
                           metadata: {name: conflicting, creationTimestamp: \"2030-01-01T00:00:00Z\"}\n\
                           spec: {eip: eip3, externalPort: \"1007\", protocol: tcp, internalIp: 10.0.1.3, internalPort: \"1\"}";

fn many() -> Rules {
    (0..100).fold(rules().eip("eip3", EIP3), |rules, n| rules.dnat("eip3", Proto::Tcp, 1000 + n, CLIENT, 2000 + n))
}

#[test]
fn r8_bad_objects_among_many_are_named_and_all_others_are_programmed() {
    let mut lab = Lab::new(&many().raw(MALFORMED).raw(CONFLICTING));
    let good = MapDump::rules(&lab.gateway);
    assert_eq!((good.len("DNAT"), good.len("EIPS")), (102, 3), "two for the traffic, a hundred, no bad one");
    let traffic = Traffic::start(&lab.net);

    // With the bad ones from the start, at a restart, and appearing while the daemon runs: the maps are the same.
    lab.daemon_mut().kill9();
    let daemon = lab.gateway.start();
    lab.replace_daemon(daemon);
    assert_eq!(MapDump::rules(&lab.gateway), good, "after a restart");
    let said = lab.daemon().logs().text();
    for (name, why) in [("IptablesDnatRule/malformed", "70000"), ("IptablesDnatRule/conflicting", "dnat-eip3-tcp-1007")]
    {
        assert!(said.lines().any(|line| line.contains(name) && line.contains(why)), "{name}, {why}: {said}");
    }
    lab.apply(&many());
    assert_eq!(MapDump::rules(&lab.gateway), good);
    let mark = lab.daemon().logs().mark();
    fs::write(lab.gateway.manifests().join("zz-bad.yaml"), "kind: [\n").expect("the directory is writable");
    lab.daemon().wait_line(mark, "zz-bad.yaml", |line| line.text.contains("zz-bad.yaml"));
    assert_eq!(MapDump::rules(&lab.gateway), good);

    let server = TcpServer::start(&lab.net.client, 2007);
    tcp::assert_transfers(&lab.net.server, at(EIP3, 1007), 1000);
    assert_eq!(server.take_peers().len(), 2, "the older rule keeps its port");
    traffic.assert_unharmed(&lab.net);
}
