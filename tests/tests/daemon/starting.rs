//! Starting and stopping: what is refused and how, waiting, handing over, leaving the data plane.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Instant};

use natgw_tests::{Topology, command, gateway::natgw_binary, topology::Interfaces};

use crate::support::{
    EIP1, EIP2, NEVER, addresses, binary_for_everyone, eventually, gateway, median, natgw_json, programmed_eips, rules,
    set, stderr,
};

#[test]
fn wrong_settings_are_usage_errors_that_name_what_is_wrong() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    let binary = natgw_binary().display().to_string();
    let config = gateway.dir().join("wrong.toml");
    fs::write(&config, "[internal]\nsubnet_gatway = \"10.0.0.1\"\n").expect("written");
    let config = config.display().to_string();
    for (args, expected) in [
        (vec!["run"], "--gateway is required"),
        (vec!["run", "--gateway", "gw1", "--manifests", "/m", "--context", "prod"], "exclude each other"),
        (vec!["run", "--gateway", "gw1", "--manifests", "/m", "--redirect", "maybe"], "on, off"),
        (vec!["run", "--gateway", "../gw1", "--manifests", "/m"], "../gw1"),
        (vec!["run", "--gateway", "gw1", "--manifests", "/m", "--internal-interface", "net1"], "must differ"),
        (vec!["run", "--gateway", "gw1", "--manifests", "/m", "--config", &config], "subnet_gatway"),
        (vec!["run", "--gateway", "gw1", "--manifests", "/m", "--netns", "/run/netns/nowhere"], "/run/netns/nowhere"),
        (vec!["run", "--gateway", "gw1", "--manifests", "/m", "--log-level", "loud=quiet"], "--log-level"),
    ] {
        let output = command::output(&binary, &args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{args:?} should say `{expected}`: {}", stderr(&output));
    }
}

#[test]
fn without_privileges_one_clear_message_ends_it() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let (binary, manifests) = (binary_for_everyone(gateway.dir()), gateway.manifests().display().to_string());
    let (bpffs, netns) = (gateway.bpffs().display().to_string(), topology.gw.path().display().to_string());
    let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "--", &binary, "run"];
    let run = ["--gateway", "gw1", "--manifests", &manifests, "--bpffs", &bpffs, "--netns", &netns];
    let output = command::output("setpriv", &[&nobody[..], &run[..]].concat());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("CAP_BPF") && said.contains("root"), "{said}");
    assert_eq!(said.matches("natgw: error:").count(), 1, "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn who_may_not_look_is_not_told_that_there_is_nothing() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let _daemon = gateway.start();
    let (binary, bpffs) = (binary_for_everyone(gateway.dir()), gateway.bpffs().display().to_string());
    for command in ["status", "rules", "sessions", "detach"] {
        let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "--", &binary, command];
        let output =
            command::output("setpriv", &[&nobody[..], &["--gateway", gateway.name(), "--bpffs", &bpffs]].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{command}: {said}");
        assert!(said.contains("Permission denied") && said.contains("run this as root"), "{command}: {said}");
    }
}

#[test]
fn what_is_missing_is_a_table_with_the_command_that_helps() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let (manifests, netns) = (gateway.manifests().display().to_string(), topology.gw.path().display().to_string());
    let plain = gateway.dir().join("plain");
    fs::create_dir(&plain).expect("the directory is the test's");
    let bpffs = plain.display().to_string();
    let args = ["run", "--gateway", gateway.name(), "--manifests", &manifests, "--netns", &netns, "--bpffs", &bpffs];
    let output = command::output(&natgw_binary().display().to_string(), &args);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("natgw cannot run here\n") && said.contains(&format!("mount -t bpf bpf {bpffs}")), "{said}");
}

#[test]
fn a_second_daemon_says_who_holds_the_lock_and_fails_at_once_when_told_not_to_wait() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let first = gateway.start();
    let begun = Instant::now();
    let mut second = gateway.spawn_binary(&natgw_binary(), &["--lock-wait", "0s"]);
    let status = second.wait();
    assert_eq!(status.code(), Some(5), "{}", second.logs().text());
    assert!(begun.elapsed().as_secs() < 5, "it waited {:?}", begun.elapsed());
    eventually("naming the holder", || second.logs().text().contains(&first.pid().to_string()).then_some(()));
}

#[test]
fn a_second_daemon_waits_and_takes_over_when_the_first_ends() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let mut first = gateway.start();
    let mut second = gateway.spawn();
    let waiting = second.wait_line(0, "who holds the lock", |line| line.message().contains("waiting for it to end"));
    assert!(waiting.text.contains(&first.pid().to_string()), "{}", waiting.text);
    assert!(first.term().success());
    let ended = Instant::now();
    let ready = second.wait_ready();
    assert_eq!(ready.number("map_writes"), Some(0), "{}", ready.text);
    assert!((ready.at - ended).as_secs() < 5, "hand-over took {:?}", ready.at - ended);
}

#[test]
fn a_waiting_daemon_can_be_stopped() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let _first = gateway.start();
    let mut second = gateway.spawn();
    second.wait_line(0, "who holds the lock", |line| line.message().contains("waiting for it to end"));
    assert!(second.term().success(), "{}", second.logs().text());
}

#[test]
fn a_missing_interface_is_waited_for_and_served_within_100_ms_each_time_it_appears() {
    let topology = Topology::builder().interfaces(Interfaces::ExternalLate).build();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let mut daemon = gateway.spawn();
    let mut took = Vec::new();
    let mut mark = 0;
    for round in 0..5 {
        daemon.wait_line(mark, "waiting for net1", |line| {
            line.message().contains("`net1` does not exist; waiting for it")
        });
        mark = daemon.logs().mark();
        let plugged = Instant::now();
        topology.plug_external();
        let attached = daemon.wait_line(mark, "attaching to net1", |line| {
            line.message() == "programs attached" && line.text.contains("net1")
        });
        took.push(attached.at.saturating_duration_since(plugged));
        if round == 0 {
            daemon.wait_ready();
        }
        eventually("the EIPs on the new net1", || {
            let present = addresses(&topology.gw, "net1");
            (present == set(["203.0.113.1/24", "203.0.113.10/24", "203.0.113.11/24"])).then_some(())
        });
        if round < 4 {
            mark = daemon.logs().mark();
            topology.unplug_external();
        }
    }
    assert!(median(took.clone()).as_millis() < 100, "from plugging to attached: {took:?}");
    let waits = daemon.logs().lines().iter().filter(|line| line.message().contains("waiting for it")).count();
    assert_eq!(waits, 5, "each absence is said once:\n{}", daemon.logs().text());
}

#[test]
fn sigterm_leaves_the_data_plane_and_a_restart_writes_nothing() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let mut first = gateway.start();
    assert!(first.term().success());
    let stopping = |line: &natgw_tests::logs::LogLine| line.message().contains("the data plane keeps running");
    first.wait_line(0, "that the data plane stays", stopping);
    topology.client.command("ping", &["-c", "2", "-i", "0.01", "-W", "2", "203.0.113.100"]);
    assert_eq!(addresses(&topology.gw, "net1").len(), 3);
    let mut second = gateway.spawn();
    let ready = second.wait_ready();
    assert_eq!(ready.field("adopted").and_then(serde_json::Value::as_bool), Some(true), "{}", ready.text);
    assert_eq!(ready.number("map_writes"), Some(0), "{}", ready.text);
}

#[test]
fn objects_deleted_while_no_daemon_ran_go_at_the_next_start() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    drop(gateway.start());
    gateway.write(&natgw_tests::Rules::new().eip("e1", EIP1).snat("e1", "10.0.1.0/24"));
    let _second = gateway.start();
    assert_eq!(programmed_eips(&gateway), set([EIP1]));
    assert_eq!(addresses(&topology.gw, "net1"), set(["203.0.113.1/24", "203.0.113.10/24"]));
}

#[test]
fn an_unreadable_source_at_the_start_removes_nothing_until_it_is_readable() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    drop(gateway.start());
    let aside = gateway.dir().join("aside");
    fs::rename(gateway.manifests(), &aside).expect("renamed");
    topology.gw.ip(&["addr del 203.0.113.10/24 dev net1".into()]);
    let second = gateway.start();
    second.wait_line(0, "that nothing is removed", |line| line.message().contains("nothing is removed"));
    assert_eq!(programmed_eips(&gateway), set([EIP1, EIP2]));
    let kept = set(["203.0.113.1/24", "203.0.113.10/24", "203.0.113.11/24"]);
    assert_eq!(addresses(&topology.gw, "net1"), kept, "pinned EIPs keep their addresses");
    let mark = second.logs().mark();
    fs::write(aside.join("rules.yaml"), natgw_tests::Rules::new().eip("e1", EIP1).yaml()).expect("written");
    fs::rename(&aside, gateway.manifests()).expect("renamed");
    second.wait_line(mark, "the complete read", |line| {
        line.message() == "reconciled" && line.text.contains("\"complete\":true")
    });
    assert_eq!(programmed_eips(&gateway), set([EIP1]), "{}", natgw_json(&gateway, &["rules"]));
}

#[test]
fn a_pinned_map_of_another_layout_is_refused_and_the_old_data_plane_goes_on() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    drop(gateway.start());
    let pin = gateway.pins().join("maps/EIPS");
    fs::remove_file(&pin).expect("a pin can be removed");
    let create = ["type", "hash", "key", "4", "value", "8", "entries", "16", "name", "EIPS"];
    command::run("bpftool", &[&["map", "create", &pin.display().to_string()], &create[..]].concat());
    let mut second = gateway.spawn();
    assert_eq!(second.wait().code(), Some(4), "{}", second.logs().text());
    eventually("naming map and fix", || {
        let text = second.logs().text();
        (text.contains("EIPS") && text.contains("natgw detach")).then_some(())
    });
    let status = gateway.natgw(&["status"]);
    assert_eq!(status.status.code(), Some(4), "{}", stderr(&status));
    topology.client.command("ping", &["-c", "1", "-W", "2", "203.0.113.100"]);
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing_and_changes_no_exit_code() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    // The second reader ends at once: a closed pipe.
    for redirection in ["2>/dev/full", "2> >(:)"] {
        gateway.write(&rules());
        let script = gateway.dir().join("natgw.sh");
        let run = format!("#!/bin/bash\nexec {} \"$@\" {redirection}\n", natgw_binary().display());
        fs::write(&script, run).expect("written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let mut daemon = gateway.spawn_binary(&script, &[]);
        eventually("the EIPs", || (addresses(&topology.gw, "net1").len() == 3).then_some(()));
        let mut refused = gateway.spawn_binary(&script, &["--lock-wait", "0s"]);
        assert_eq!(refused.wait().code(), Some(5), "{redirection}");
        gateway.write(&rules().eip("e3", "203.0.113.30").dnat("e4", natgw_tests::Proto::Tcp, 81, "10.0.1.2", 81));
        eventually("the new EIP", || (addresses(&topology.gw, "net1").len() == 4).then_some(()));
        assert!(daemon.term().success(), "{redirection}");
        gateway.write(&rules());
    }
}

#[test]
fn a_stop_is_not_kept_waiting_by_thousands_of_addresses() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    let eips = (0..1_000).map(|n| (format!("e{n}"), format!("100.64.{}.{}", n / 250, n % 250 + 1)));
    gateway.write(&eips.fold(natgw_tests::Rules::new(), |rules, (name, address)| rules.eip(&name, address)));
    let mut daemon = gateway.spawn();
    daemon.wait_line(0, "the objects", |line| line.message() == "programs attached");
    eventually("the first of many addresses", || (addresses(&topology.gw, "net1").len() > 1).then_some(()));
    let asked = Instant::now();
    assert!(daemon.term().success(), "{}", daemon.logs().text());
    assert!(asked.elapsed().as_secs() < 3, "it took {:?}", asked.elapsed());
    let added = addresses(&topology.gw, "net1").len();
    assert!(added < 1_000, "all were added first");
}
