//! The clocks of the API server and of the gateway's node are hours apart. What counts is how far: here it is the
//! gateway's that is wrong.

use std::{fs, path::PathBuf};

use k8s_openapi::jiff::Timestamp;
use natgw_tests::{
    Cluster, ClusterLab, Topology,
    lab::EIP3,
    traffic::{Traffic, rules},
};
use natgw_userspace::core::objects::Kind;

const HOUR: i64 = 3600;

/// The library that lies about the time: Debian's package `libfaketime` has a directory for each architecture.
fn libfaketime() -> PathBuf {
    let dirs = fs::read_dir("/usr/lib").expect("there is one").flatten();
    let mut paths = dirs.map(|dir| dir.path().join("faketime/libfaketime.so.1"));
    paths.find(|path| path.is_file()).expect("no libfaketime: run `cargo xtask setup`")
}

/// Environment of a process whose wall clock is `hours` off. Time that only passes does so as ever.
fn clock_off_by(hours: i64) -> [String; 3] {
    [
        format!("LD_PRELOAD={}", libfaketime().display()),
        format!("FAKETIME={hours:+}h"),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
    ]
}

/// How far in the future a time is.
fn seconds_ahead(time: &str) -> i64 {
    let time: Timestamp = time.parse().unwrap_or_else(|error| panic!("{time}: {error}"));
    time.duration_since(Timestamp::now()).as_secs()
}

fn assert_works(hours: i64) {
    let cluster = Cluster::start();
    let mut lab = ClusterLab::stopped(&cluster, Topology::new(), &cluster.admin_kubeconfig(), &[]);
    lab.objects.set(&rules());
    let mut daemon = lab.gateway.spawn_with(&clock_off_by(hours));
    daemon.wait_ready();
    daemon.wait_complete();
    lab.replace_daemon(daemon);
    let traffic = Traffic::start(&lab.net);

    // Creation, change and deletion, told as ever; the condition has the gateway's time.
    lab.set(&rules().eip("eip3", EIP3), |maps| maps.len("EIPS") == 3);
    let name = lab.objects.name("eip3");
    let condition = lab.objects.wait_programmed(Kind::IptablesEip, &name, "True", "Programmed");
    let off = seconds_ahead(condition["lastTransitionTime"].as_str().expect("a time")) - hours * HOUR;
    assert!(off.abs() < 60, "the gateway's clock is not {hours:+} h off but {off} s from that");
    lab.set(&rules(), |maps| maps.len("EIPS") == 2);

    // And over a new connection, with new lists.
    cluster.kill_apiserver();
    traffic.flow();
    cluster.start_apiserver();
    lab.set(&rules().eip("eip3", EIP3), |maps| maps.len("EIPS") == 3);
    let _ = lab.objects.wait_programmed(Kind::IptablesEip, &name, "True", "Programmed");
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn an_api_server_whose_clock_is_six_hours_ahead_is_followed() {
    assert_works(-6);
}

#[test]
fn an_api_server_whose_clock_is_six_hours_behind_is_followed() {
    assert_works(6);
}
