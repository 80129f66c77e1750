//! natgw with exactly what `deploy/base` gives its container: four capabilities, a read-only root and `/proc/sys`.

use natgw_tests::{Topology, logs::LogLine};

use crate::support::{NEVER, gateway, rules};

/// The `capabilities.add` of the container, as setpriv wants them.
fn capabilities() -> String {
    let manifest = include_str!("../../../deploy/base/manifests/gateway.yaml");
    let line = manifest.lines().find_map(|line| line.trim().strip_prefix("add: [")).expect("capabilities are added");
    let names = line.trim_end_matches(']').split(", ");
    names.map(str::to_lowercase).collect::<Vec<_>>().join(",+")
}

/// Makes the mounts of a container in a mount namespace of its own, then becomes natgw with few capabilities.
/// `proc_sys_net` says what stands at the place of the pod's mount.
fn container(proc_sys_net: &str) -> [String; 5] {
    let capabilities = capabilities();
    let script = format!(
        "set -e
        mount -t tmpfs none /run
        mkdir -p /run/natgw/proc-sys-net
        {proc_sys_net}
        mount --bind /proc/sys /proc/sys
        mount -o remount,bind,ro /proc/sys
        mount -o remount,bind,ro /
        exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+{capabilities} -- \"$0\" \"$@\""
    );
    ["unshare", "--mount", "sh", "-c", &script].map(str::to_owned)
}

#[test]
fn the_capabilities_and_mounts_of_deploy_base_are_enough() {
    let topology = Topology::new();
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let mut daemon = gateway.spawn_through(&container("mount --bind /proc/sys/net /run/natgw/proc-sys-net"));
    daemon.wait_ready();
    for (key, value) in [("ip_forward", "1"), ("conf/all/rp_filter", "0"), ("conf/net1/accept_local", "1")] {
        assert_eq!(topology.gw.read_sysctl(&format!("net/ipv4/{key}")), value, "{key}");
    }
    topology.client.command("ping", &["-c", "2", "-i", "0.01", "-W", "2", "203.0.113.100"]);
    // Only the node's own namespace shows whether the JIT is on.
    let complaints = |line: &&LogLine| line.text.contains("WARN") || line.text.contains("ERROR");
    let lines = daemon.logs().lines();
    let complaints: Vec<_> = lines.iter().filter(complaints).filter(|line| !line.text.contains("bpf JIT")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn without_the_mount_of_proc_sys_net_natgw_says_which_one_helps() {
    let topology = Topology::new();
    topology.gw.sysctl("net/ipv4/ip_forward", "0");
    let gateway = gateway(&topology, NEVER, "");
    gateway.write(&rules());
    let daemon = gateway.spawn_through(&container(""));
    daemon.wait_line(0, "what to mount", |line| {
        line.text.contains("net/ipv4/ip_forward") && line.text.contains("mount the node's /proc/sys/net at")
    });
}
