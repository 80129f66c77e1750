//! What stands in statuses: the mirrors of a cluster without kube-ovn's controller, and what is not enforced.

use natgw_tests::{
    ClusterLab, Topology,
    cluster::shared,
    lab::{EIP1, EIP2},
    topology::{CLIENT, POD2},
    traffic::{Traffic, VPC_CIDR, rules},
};
use natgw_userspace::core::objects::Kind;
use serde_json::{Value, json};

/// The status of an object that is in force, without its conditions.
fn mirror(lab: &ClusterLab<'_>, kind: Kind, name: &str) -> Value {
    let _ = lab.objects.wait_condition(kind, name, "Programmed", |condition| condition["status"] == "True");
    let mut status = lab.objects.get(kind, name)["status"].clone();
    status.as_object_mut().expect("a status").remove("conditions");
    status
}

#[test]
fn with_own_status_every_kind_mirrors_what_is_in_force_as_kube_ovn_does() {
    let cluster = shared();
    let lab = ClusterLab::on(&cluster, Topology::new(), &rules(), &cluster.admin_kubeconfig(), &["--own-status"]);
    let traffic = Traffic::start(&lab.net);
    let gw = lab.gateway.name();
    for (kind, name, expected) in [
        (Kind::IptablesEip, "eip1".to_owned(), json!({ "ready": true, "ip": EIP1, "nat": "dnat,snat" })),
        (Kind::IptablesEip, "eip2".to_owned(), json!({ "ready": true, "ip": EIP2, "nat": "fip" })),
        (
            Kind::IptablesFipRule,
            format!("fip-eip2-{POD2}"),
            json!({ "ready": true, "v4ip": EIP2, "natGwDp": gw, "internalIp": POD2 }),
        ),
        (
            Kind::IptablesDnatRule,
            "dnat-eip1-tcp-80".to_owned(),
            json!({
                "ready": true, "v4ip": EIP1, "natGwDp": gw, "protocol": "tcp", "externalPort": "80", "internalIp": CLIENT,
                "internalPort": "8080",
            }),
        ),
        (
            Kind::IptablesSnatRule,
            "snat-eip1-10.0.1.0-24".to_owned(),
            json!({ "ready": true, "v4ip": EIP1, "natGwDp": gw, "internalCIDR": VPC_CIDR }),
        ),
    ] {
        assert_eq!(mirror(&lab, kind, &lab.objects.name(&name)), expected, "{kind} {name}");
    }
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn a_bandwidth_policy_is_said_to_be_not_enforced_and_one_that_is_not_there_is_missed() {
    let cluster = shared();
    let gw = |lab: &ClusterLab<'_>| lab.gateway.name().to_owned();
    let mut lab = ClusterLab::new(&cluster, &rules());
    let policy = |name: &str| {
        format!("apiVersion: kubeovn.io/v1\nkind: QoSPolicy\nmetadata: {{name: {name}}}\nspec: {{bindingType: EIP}}")
    };
    let (slow, unused) = (format!("{}-slow", gw(&lab)), format!("{}-unused", gw(&lab)));
    lab.objects.set(&rules().raw(&policy(&slow)).raw(&policy(&unused)));
    let limited = |eip: &str, policy: &str| {
        lab.objects.patch(Kind::IptablesEip, &lab.objects.name(eip), &json!({ "spec": { "qosPolicy": policy } }));
    };
    limited("eip1", &slow);
    limited("eip2", "no-such-policy");
    let traffic = Traffic::start(&lab.net);
    let condition = lab.objects.wait_programmed(Kind::QosPolicy, &slow, "False", "Unsupported");
    assert_eq!(condition["message"], "bandwidth limits are not enforced: traffic passes without a limit");
    for (eip, text) in [
        ("eip1", format!("spec.qosPolicy: QoSPolicy `{slow}` is not enforced (remove it, or ignore this)")),
        (
            "eip2",
            "spec.qosPolicy: there is no QoSPolicy `no-such-policy`, and natgw would not enforce it (remove it, or ignore this)"
                .to_owned(),
        ),
    ] {
        let _ = lab.objects.wait_condition(Kind::IptablesEip, &lab.objects.name(eip), "Programmed", |condition| {
            condition["status"] == "True" && condition["message"].as_str().is_some_and(|message| message.contains(&text))
        });
    }
    assert!(lab.objects.get(Kind::QosPolicy, &unused).get("status").is_none(), "nobody uses it");
    traffic.assert_unharmed(&lab.net);
}
