//! What is wrong with an object is said in its condition, and no other object is disturbed.

use natgw_tests::{
    ClusterLab, Proto,
    cluster::shared,
    lab::{EIP1, EIP3},
    tcp::{self, TcpServer},
    topology::{CLIENT, POD2},
    traffic::{Traffic, at, rules},
};
use natgw_userspace::core::objects::Kind;
use serde_json::json;

#[test]
fn of_two_objects_that_want_the_same_the_older_wins_and_the_other_says_who_has_it() {
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &rules());
    let traffic = Traffic::start(&lab.net);
    let gw = lab.gateway.name().to_owned();
    let late = format!(
        "apiVersion: kubeovn.io/v1\nkind: IptablesDnatRule\nmetadata: {{name: {gw}-aaa}}\nspec: {{eip: {gw}-eip1, \
         externalPort: \"80\", protocol: TCP, internalIp: {POD2}, internalPort: \"1\"}}\n---\n\
         apiVersion: kubeovn.io/v1\nkind: IptablesFIPRule\nmetadata: {{name: {gw}-second}}\nspec: {{eip: {gw}-eip2, \
         internalIp: {CLIENT}}}\n---\napiVersion: kubeovn.io/v1\nkind: IptablesEIP\nmetadata: {{name: {gw}-twin}}\n\
         spec: {{v4ip: {EIP1}, natGwDp: {gw}}}"
    );
    lab.objects.set(&rules().raw(&late));
    for (kind, name, reason, text) in [
        (
            Kind::IptablesDnatRule,
            "aaa",
            "DuplicateDnat",
            format!(
                "spec.externalPort: tcp port 80 of IptablesEIP `{gw}-eip1` is mapped by IptablesDnatRule \
                 `{gw}-dnat-eip1-tcp-80`, which is older (use another port, or delete one of the two)"
            ),
        ),
        (
            Kind::IptablesFipRule,
            "second",
            "DuplicateFip",
            format!(
                "spec.eip: IptablesEIP `{gw}-eip2` is used by IptablesFIPRule `{gw}-fip-eip2-{POD2}`, which is older (use \
                 another EIP, or delete one of the two)"
            ),
        ),
        (
            Kind::IptablesEip,
            "twin",
            "DuplicateAddress",
            format!(
                "spec.v4ip: `{EIP1}` is the address of IptablesEIP `{gw}-eip1`, which is older (give this EIP another \
                 address, or delete one of the two)"
            ),
        ),
    ] {
        let condition = lab.objects.wait_programmed(kind, &lab.objects.name(name), "False", reason);
        assert_eq!(condition["message"], text, "{name}");
        let event = lab.objects.wait_event(kind, &lab.objects.name(name), reason);
        assert!(event.starts_with("Warning "), "{event}");
    }
    let won = lab.objects.name("dnat-eip1-tcp-80");
    let _ = lab.objects.wait_programmed(Kind::IptablesDnatRule, &won, "True", "Programmed");
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn every_mistake_in_a_spec_has_its_condition() {
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &rules());
    let traffic = Traffic::start(&lab.net);
    let gw = lab.gateway.name().to_owned();
    let dnat = |name: &str, spec: &str| {
        format!(
            "apiVersion: kubeovn.io/v1\nkind: IptablesDnatRule\nmetadata: {{name: {gw}-{name}}}\nspec: {{eip: {gw}-eip1, {spec}}}"
        )
    };
    let good = format!("externalPort: \"90\", protocol: tcp, internalIp: {POD2}, internalPort: \"1\"");
    let cases = [
        (
            "port",
            good.replace("\"90\"", "\"99999\""),
            "InvalidPort",
            "spec.externalPort: `99999` is not a port (give a number from 1 to 65535)",
        ),
        (
            "range",
            good.replace("\"90\"", "\"80-90\""),
            "InvalidPort",
            "spec.externalPort: `80-90` is not a port (give one port; each port needs a rule of its own)",
        ),
        (
            "proto",
            good.replace("tcp", "sctp"),
            "InvalidProtocol",
            "spec.protocol: `sctp` is not a protocol that a DNAT rule can map (use tcp or udp; a floating IP carries every \
             protocol)",
        ),
        (
            "address",
            good.replace("10.0.1.3", "10.0.1.300"),
            "InvalidAddress",
            "spec.internalIp: `10.0.1.300` is not an IPv4 address (write four numbers from 0 to 255, such as 10.0.1.2)",
        ),
        (
            "v6",
            good.replace("10.0.1.3", "fd00::1"),
            "Unsupported",
            "spec.internalIp: `fd00::1` is IPv6, which is not translated (give IPv4)",
        ),
        (
            "none",
            good.replace("internalPort: \"1\"", "type: exclusive"),
            "MissingField",
            "spec.internalPort: required, but not set (set it, for example \"80\")",
        ),
        (
            "shared",
            format!("{good}, type: share"),
            "Unsupported",
            "spec.type: `share` is not supported: a mapping has one target (remove it, or write `exclusive`)",
        ),
    ];
    let mut all = rules();
    for (name, spec, ..) in &cases {
        all = all.raw(&dnat(name, spec));
    }
    all = all.raw(&format!(
        "apiVersion: kubeovn.io/v1\nkind: IptablesSnatRule\nmetadata: {{name: {gw}-cidr}}\nspec: {{eip: {gw}-eip1, internalCIDR: 10.0.1.0/33}}"
    ));
    all = all.raw(&format!(
        "apiVersion: kubeovn.io/v1\nkind: IptablesFIPRule\nmetadata: {{name: {gw}-orphan}}\nspec: {{eip: {gw}-nowhere, internalIp: {CLIENT}}}"
    ));
    all = all.raw(&format!(
        "apiVersion: kubeovn.io/v1\nkind: IptablesEIP\nmetadata: {{name: {gw}-v6only}}\nspec: {{v6ip: \"2001:db8::1\", natGwDp: {gw}}}"
    ));
    lab.objects.set(&all);
    for (name, _, reason, text) in &cases {
        let name = lab.objects.name(name);
        let condition = lab.objects.wait_programmed(Kind::IptablesDnatRule, &name, "False", reason);
        assert_eq!(condition["message"], *text, "{name}");
    }
    let nowhere = format!(
        "spec.eip: there is no IptablesEIP `{}` (create it, or name one that exists)",
        lab.objects.name("nowhere")
    );
    for (kind, name, reason, text) in [
        (
            Kind::IptablesSnatRule,
            "cidr",
            "InvalidCidr",
            "spec.internalCIDR: `10.0.1.0/33` is not an IPv4 network (give a prefix length from 0 to 32)",
        ),
        (Kind::IptablesFipRule, "orphan", "EipMissing", &nowhere),
        (
            Kind::IptablesEip,
            "v6only",
            "Unsupported",
            "spec.v4ip: not set, and `2001:db8::1` in spec.v6ip is IPv6, which is not translated (set spec.v4ip)",
        ),
    ] {
        let condition = lab.objects.wait_programmed(kind, &lab.objects.name(name), "False", reason);
        assert_eq!(condition["message"], text, "{name}");
    }
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn an_eip_that_is_deleted_while_rules_use_it_takes_their_traffic_along_and_they_say_why() {
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &rules().eip("eip3", EIP3).dnat("eip3", Proto::Tcp, 90, CLIENT, 9001));
    let _server = TcpServer::start(&lab.net.client, 9001);
    let traffic = Traffic::start(&lab.net);
    tcp::assert_transfers(&lab.net.server, at(EIP3, 90), 10_000);
    lab.objects.delete(Kind::IptablesEip, &lab.objects.name("eip3"));
    let rule = lab.objects.name("dnat-eip3-tcp-90");
    let _ = lab.objects.wait_programmed(Kind::IptablesDnatRule, &rule, "False", "EipMissing");
    assert!(tcp::connect(&lab.net.server, at(EIP3, 90)).is_err(), "nobody answers for it");
    // It comes back, and so does the rule, untouched.
    lab.set(&rules().eip("eip3", EIP3).dnat("eip3", Proto::Tcp, 90, CLIENT, 9001), |maps| maps.len("DNAT") == 3);
    let _ = lab.objects.wait_programmed(Kind::IptablesDnatRule, &rule, "True", "Programmed");
    tcp::assert_transfers(&lab.net.server, at(EIP3, 90), 10_000);
    traffic.assert_no_loss(&lab.net);
}

#[test]
fn an_eip_with_a_finalizer_stays_as_long_as_a_rule_uses_it() {
    let cluster = shared();
    let lab = ClusterLab::new(&cluster, &rules().eip("eip3", EIP3).dnat("eip3", Proto::Tcp, 90, CLIENT, 9001));
    let _server = TcpServer::start(&lab.net.client, 9001);
    let eip = lab.objects.name("eip3");
    let finalizers = |list: serde_json::Value| json!({"metadata": {"finalizers": list}});
    lab.objects.patch(Kind::IptablesEip, &eip, &finalizers(json!(["kubeovn.io/kube-ovn-controller"])));
    lab.objects.delete(Kind::IptablesEip, &eip);
    assert!(lab.objects.get(Kind::IptablesEip, &eip)["metadata"]["deletionTimestamp"].is_string());
    tcp::assert_transfers(&lab.net.server, at(EIP3, 90), 10_000);
    lab.objects.delete(Kind::IptablesDnatRule, &lab.objects.name("dnat-eip3-tcp-90"));
    lab.wait_maps(|maps| maps.len("DNAT") == 2 && maps.len("EIPS") == 2);
    lab.objects.patch(Kind::IptablesEip, &eip, &finalizers(json!(null)));
}

#[test]
fn objects_of_another_gateway_are_neither_programmed_nor_written_to() {
    let cluster = shared();
    let lab = ClusterLab::new(&cluster, &rules());
    let gw = lab.gateway.name();
    cluster.apply_yaml(&format!(
        "apiVersion: kubeovn.io/v1\nkind: IptablesEIP\nmetadata: {{name: {gw}-far}}\nspec: {{v4ip: {EIP3}, natGwDp: {gw}-other}}\n\
         ---\napiVersion: kubeovn.io/v1\nkind: IptablesFIPRule\nmetadata: {{name: {gw}-farfip}}\nspec: {{eip: {gw}-far, internalIp: {CLIENT}}}"
    ));
    // What comes after it in the same watches has been seen.
    let marker = format!("{gw}-zz");
    cluster.apply_yaml(&format!(
        "apiVersion: kubeovn.io/v1\nkind: IptablesFIPRule\nmetadata: {{name: {marker}}}\nspec: {{eip: {gw}-none, internalIp: {CLIENT}}}"
    ));
    let _ = lab.objects.wait_programmed(Kind::IptablesFipRule, &marker, "False", "EipMissing");
    lab.wait_maps(|maps| maps.len("EIPS") == 2 && maps.len("FIP_IN") == 1);
    for (kind, name) in [(Kind::IptablesEip, "far"), (Kind::IptablesFipRule, "farfip")] {
        let object = lab.objects.get(kind, &lab.objects.name(name));
        assert!(object.get("status").is_none(), "{object:#}");
    }
    for (kind, name) in [(Kind::IptablesEip, "far"), (Kind::IptablesFipRule, "farfip"), (Kind::IptablesFipRule, "zz")] {
        lab.objects.delete(kind, &lab.objects.name(name));
    }
}
