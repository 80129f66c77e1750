//! `status`, `rules`, `sessions`, `detach`, with and without a daemon.

use natgw_tests::{Rules, Topology, command, gateway::natgw_binary};

use crate::support::{CLIENT, EIP1, NEVER, addresses, gateway, natgw_json, routes, rules, second_gateway, set, stderr};

#[test]
fn everything_can_be_read_with_the_daemon_running_and_stopped() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let mut daemon = gateway.start();
    topology.client.command("ping", &["-c", "1", "-W", "2", "203.0.113.100"]);
    let netns = topology.gw.path().display().to_string();
    for running in [true, false] {
        let status = natgw_json(&gateway, &["status", "--netns", &netns]);
        assert_eq!(status["daemon"]["running"], running, "{status}");
        assert_eq!(status["hooks"].as_array().map(Vec::len), Some(3), "{status}");
        assert!(status["hooks"][1]["program_id"].is_u64(), "{status}");
        assert_eq!(status["interfaces"][1]["name"], "net1", "{status}");
        assert!(status["counters"]["snat_out"]["packets"].as_u64() >= Some(1), "{status}");
        assert_eq!(status["sessions"]["created"], 1, "{status}");
        if running {
            assert_eq!(status["daemon"]["pid"], daemon.pid(), "{status}");
        }
        let listed = natgw_json(&gateway, &["rules"]);
        assert_eq!(listed["eips"][0]["snat"][0]["cidr"], "10.0.1.0/24", "{listed}");
        assert_eq!(listed["eips"][1]["dnat"][0]["target"], "10.0.1.2:8080", "{listed}");
        let sessions = natgw_json(&gateway, &["sessions", "--eip", EIP1, "--internal", CLIENT, "--proto", "icmp"]);
        assert_eq!(sessions.as_array().map(Vec::len), Some(1), "{sessions}");
        assert_eq!(sessions[0]["origin"], "snat", "{sessions}");
        assert_eq!(natgw_json(&gateway, &["sessions", "--proto", "tcp"]), serde_json::json!([]));
        for table in ["status", "rules", "sessions"] {
            let output = gateway.natgw(&[table]);
            assert!(output.status.success(), "{table}: {}", stderr(&output));
            assert!(!output.stdout.contains(&0x1b), "no colours into a pipe");
        }
        if running {
            assert!(daemon.term().success());
        }
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let _daemon = gateway.start();
    let binary = natgw_binary().display().to_string();
    let bpffs = gateway.bpffs().display().to_string();
    let gateway_args = format!("--gateway gw1 --bpffs {bpffs}");
    for what in [
        format!("status {gateway_args}"),
        format!("rules {gateway_args}"),
        format!("sessions {gateway_args}"),
        "completion bash".to_owned(),
        "crds".to_owned(),
        "--help".to_owned(),
    ] {
        // The reader takes nothing at all.
        let script = format!("set -o pipefail; {binary} {what} | true");
        let output = command::output("bash", &["-c", &script]);
        assert!(output.status.success(), "{what}: {:?} {}", output.status, stderr(&output));
        assert!(output.stderr.is_empty(), "{what}: {}", stderr(&output));
    }
}

#[test]
fn crds_prints_documents_for_kubectl_and_needs_nothing() {
    let binary = natgw_binary().display().to_string();
    let output = command::output(&binary, &["crds"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let documents: Vec<_> = text.split("\n---\n").collect();
    assert_eq!(documents.len(), 7, "{text}");
    assert!(documents.iter().all(|document| document.starts_with("apiVersion: apiextensions.k8s.io/v1\n")), "{text}");
    let one = command::output(&binary, &["crds", "--kind", "IptablesEIP"]);
    let one = String::from_utf8_lossy(&one.stdout).into_owned();
    assert!(documents.contains(&one.trim_end()) && one.contains("name: iptables-eips.kubeovn.io"), "{one}");
    let none = command::output(&binary, &["crds", "--kind", "Pod"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(none.stdout.is_empty() && stderr(&none).contains("IptablesSnatRule"), "{}", stderr(&none));
}

#[test]
fn a_gateway_that_does_not_exist_has_its_own_exit_code() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    for args in [&["status"][..], &["rules"], &["sessions"], &["detach"]] {
        let output = gateway.natgw(args);
        assert_eq!(output.status.code(), Some(6), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("gw1"), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn detach_is_refused_while_a_daemon_runs_and_removes_what_natgw_added_afterwards() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules().route("10.8.0.0/16", "10.0.1.254"));
    let mut daemon = gateway.start();
    let netns = topology.gw.path().display().to_string();
    let refused = gateway.natgw(&["detach", "--netns", &netns]);
    assert_eq!(refused.status.code(), Some(5), "{}", stderr(&refused));
    assert!(stderr(&refused).contains(&daemon.pid().to_string()), "{}", stderr(&refused));
    assert_eq!(addresses(&topology.gw, "net1").len(), 3, "nothing was touched");
    assert!(daemon.term().success());
    let done = gateway.natgw(&["detach", "--netns", &netns]);
    assert!(done.status.success(), "{}", stderr(&done));
    assert!(!gateway.pins().exists());
    assert_eq!(addresses(&topology.gw, "net1"), set(["203.0.113.1/24"]));
    assert_eq!(routes(&topology.gw), set(["default via 203.0.113.254 dev net1"]));
    let again = gateway.natgw(&["detach", "--netns", &netns]);
    assert_eq!(again.status.code(), Some(6), "{}", stderr(&again));
}

#[test]
fn clsact_is_used_when_asked_for_and_said_in_status() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "").with_args(&["--attach", "clsact"]);
    gateway.write(&rules());
    let mut daemon = gateway.spawn();
    let ready = daemon.wait_ready();
    assert_eq!(ready.field("attach").and_then(serde_json::Value::as_str), Some("clsact"), "{}", ready.text);
    topology.client.command("ping", &["-c", "1", "-W", "2", "203.0.113.100"]);
    let netns = topology.gw.path().display().to_string();
    let status = gateway.natgw(&["status", "--netns", &netns]);
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(text.contains("hooks     clsact"), "{text}");
}

#[test]
fn detach_in_the_wrong_namespace_is_refused_and_removes_nothing() {
    for attach in ["tcx", "clsact"] {
        let topology = Topology::new();
        let gateway = gateway(&topology, NEVER, "").with_args(&["--attach", attach]);
        gateway.write(&rules());
        drop(gateway.start());
        let wrong = topology.server.path().display().to_string();
        for args in [&["detach"][..], &["detach", "--netns", &wrong]] {
            let refused = gateway.natgw(args);
            assert_eq!(refused.status.code(), Some(2), "{attach} {args:?}: {}", stderr(&refused));
            assert!(stderr(&refused).contains("--netns"), "{attach}: {}", stderr(&refused));
        }
        topology.client.command("ping", &["-c", "1", "-W", "2", "203.0.113.100"]);
        assert_eq!(addresses(&topology.gw, "net1").len(), 3);
        let done = gateway.natgw(&["detach", "--netns", &topology.gw.path().display().to_string()]);
        assert!(done.status.success(), "{attach}: {}", stderr(&done));
        assert!(!gateway.pins().exists());
    }
}

#[test]
fn detach_leaves_another_gateway_of_the_same_namespace_alone() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules().route("10.8.0.0/16", "10.0.1.254"));
    drop(gateway.start());
    topology.gw.ip(&[
        "link add eth9 index 201 type veth peer name net9 index 202".into(),
        "addr add 10.9.0.1/24 dev eth9".into(),
        "addr add 198.18.0.1/24 dev net9".into(),
        "link set eth9 up".into(),
        "link set net9 up".into(),
    ]);
    let other = second_gateway(
        &gateway,
        &topology,
        &Rules::new().eip("other", "198.18.0.10").route("10.99.0.0/16", "10.9.0.254"),
        &["--internal-interface", "eth9", "--external-interface", "net9"],
    );
    other.wait_message(0, "ready");
    drop(other);
    let netns = topology.gw.path().display().to_string();
    let done = gateway.natgw(&["detach", "--netns", &netns]);
    assert!(done.status.success(), "{}", stderr(&done));
    assert_eq!(addresses(&topology.gw, "net1"), set(["203.0.113.1/24"]));
    assert_eq!(addresses(&topology.gw, "net9"), set(["198.18.0.1/24", "198.18.0.10/24"]));
    let default = "default via 203.0.113.254 dev net1";
    assert_eq!(routes(&topology.gw), set([default, "10.99.0.0/16 via 10.9.0.254 dev eth9"]));
}
