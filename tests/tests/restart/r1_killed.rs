//! R1: the daemon ends and is started again; namespace and bpffs intact. (Killed on TCX, with a cluster: `recovery`.)

use std::time::Duration;

use natgw_tests::{Daemon, Lab, maps::MapDump};

use natgw_tests::traffic::{Traffic, assert_unchanged, rules};

/// What the table allows from exec to `ready`.
const READY: Duration = Duration::from_secs(1);

/// Everything that the daemon writes, the configuration and the ABI record included.
const DAEMONS_MAPS: [&str; 7] = ["EIPS", "FIP_IN", "FIP_OUT", "DNAT", "SNAT", "CONFIG", "ABI"];

fn assert_ready_without_a_write(daemon: &mut Daemon) {
    let ready = daemon.wait_ready();
    assert_eq!(ready.number("map_writes"), Some(0), "map writes at restart: {}", ready.text);
    assert!(ready.text.contains("\"adopted\":true"), "{}", ready.text);
    let took = daemon.ready_after();
    assert!(took < READY, "ready after {took:?}:\n{}", daemon.logs().text());
}

#[test]
fn r1_a_terminated_daemon_loses_no_packet_and_its_successor_writes_no_map() {
    let mut lab = Lab::new(&rules());
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::read(&lab.gateway, &DAEMONS_MAPS);
    let status = lab.daemon_mut().term();
    assert!(status.success(), "SIGTERM is an orderly end: {status}");
    traffic.flow();
    assert_unchanged(&before, &MapDump::read(&lab.gateway, &DAEMONS_MAPS));
    let mut daemon = lab.gateway.spawn();
    assert_ready_without_a_write(&mut daemon);
    lab.replace_daemon(daemon);
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn r1_holds_with_clsact_filters_too() {
    let mut lab = Lab::on(natgw_tests::Topology::new(), &rules(), &["--attach", "clsact"]);
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::read(&lab.gateway, &DAEMONS_MAPS);
    for _ in 0..3 {
        lab.daemon_mut().kill9();
        traffic.flow();
        let mut daemon = lab.gateway.spawn();
        assert_ready_without_a_write(&mut daemon);
        lab.replace_daemon(daemon);
        assert_unchanged(&before, &MapDump::read(&lab.gateway, &DAEMONS_MAPS));
    }
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn r1_new_flows_are_translated_while_no_daemon_runs() {
    let mut lab = Lab::new(&rules());
    lab.daemon_mut().kill9();
    let traffic = Traffic::start(&lab.net);
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn manifests_that_cannot_be_read_at_start_remove_nothing() {
    let mut lab = Lab::new(&rules());
    let traffic = Traffic::start(&lab.net);
    let before = MapDump::read(&lab.gateway, &DAEMONS_MAPS);
    lab.daemon_mut().kill9();
    let (dir, away) = (lab.gateway.manifests(), lab.gateway.dir().join("away"));
    std::fs::rename(&dir, &away).expect("the test's directory is writable");
    let mut daemon = lab.gateway.spawn();
    assert_ready_without_a_write(&mut daemon);
    traffic.flow();
    assert_unchanged(&before, &MapDump::read(&lab.gateway, &DAEMONS_MAPS));
    std::fs::rename(&away, &dir).expect("the test's directory is writable");
    // It finds the directory by itself and then knows the rules: a removed one is removed.
    let mark = daemon.logs().mark();
    let complete =
        |line: &natgw_tests::logs::LogLine| line.message() == "reconciled" && line.text.contains("\"complete\":true");
    daemon.wait_line(mark, "reconciled and complete", complete);
    lab.replace_daemon(daemon);
    assert_unchanged(&before, &MapDump::read(&lab.gateway, &DAEMONS_MAPS));
    traffic.assert_unharmed(&lab.net);
}
