//! Objects at the limits of what can be stored: their gateway says what is wrong in a sentence, and everything else goes on.

use natgw_tests::{
    Cluster, ClusterLab, Topology,
    cluster::shared,
    cluster_lab::crds,
    lab::{EIP1, EIP3},
    maps::MapDump,
    topology::POD2,
    traffic::{Traffic, rules},
};
use natgw_userspace::core::objects::Kind;
use serde_json::json;

/// Etcd takes 1.5 MiB, and kube-ovn's schema has no limit for a string.
const ENORMOUS: usize = 900_000;
/// A sentence of the log or of a condition.
const LONGEST: usize = 4500;

fn dnat(name: &str, eip: &str, internal_ip: &str) -> String {
    format!(
        "apiVersion: kubeovn.io/v1\nkind: IptablesDnatRule\nmetadata: {{name: {name}}}\nspec: {{eip: {eip}, externalPort: \
         \"90\", protocol: tcp, internalIp: \"{internal_ip}\", internalPort: \"1\"}}\n"
    )
}

#[test]
fn an_enormous_value_is_quoted_in_part() {
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &rules());
    let traffic = Traffic::start(&lab.net);
    let (name, eip) = (lab.objects.name("enormous"), lab.objects.name("eip1"));
    lab.objects.set(&rules().raw(&dnat(&name, &eip, &"9".repeat(ENORMOUS))));
    let condition = lab.objects.wait_programmed(Kind::IptablesDnatRule, &name, "False", "InvalidAddress");
    let message = condition["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("spec.internalIp: `9999") && message.len() < LONGEST, "{} bytes", message.len());
    assert!(message.contains(" ..."), "it says that something is left out");
    let _ = lab.objects.wait_event(Kind::IptablesDnatRule, &name, "InvalidAddress");
    let longest = lab.daemon().logs().lines().iter().map(|line| line.text.len()).max();
    assert!(longest < Some(LONGEST), "a line of the log has {longest:?} bytes");
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn a_name_as_long_as_names_can_be_has_its_condition_and_its_events() {
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &rules());
    let traffic = Traffic::start(&lab.net);
    let begin = lab.objects.name("long.");
    let name = format!("{begin}{}", "n".repeat(253 - begin.len()));
    lab.objects.set(&rules().raw(&dnat(&name, &lab.objects.name("eip1"), &POD2.to_string())));
    let _ = lab.objects.wait_programmed(Kind::IptablesDnatRule, &name, "True", "Programmed");
    lab.objects.set(&rules().raw(&dnat(&name, &lab.objects.name("nowhere"), &POD2.to_string())));
    let condition = lab.objects.wait_programmed(Kind::IptablesDnatRule, &name, "False", "EipMissing");
    assert!(condition["message"].as_str().unwrap_or_default().contains("there is no IptablesEIP `"), "{condition}");
    let event = lab.objects.wait_event(Kind::IptablesDnatRule, &name, "EipMissing");
    assert!(event.starts_with("Warning "), "{event}");
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn a_field_of_the_wrong_type_that_was_stored_all_the_same_is_named() {
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &rules());
    let traffic = Traffic::start(&lab.net);
    let name = lab.objects.name("mistyped");
    // As an older schema, or none, would have let it through.
    let object = json!({
        "apiVersion": "kubeovn.io/v1",
        "kind": "IptablesDnatRule",
        "metadata": {
            "name": name,
            "uid": "6f2b8f60-8a4e-4f0e-9a38-52b0f3a3b6d1",
            "generation": 1,
            "creationTimestamp": "2026-01-31T12:00:00Z",
        },
        "spec": { "eip": lab.objects.name("eip1"), "externalPort": { "from": 1, "to": "x".repeat(ENORMOUS) } },
    });
    cluster.store("kubeovn.io", "iptables-dnat-rules", &[object]);
    let mistyped = |line: &natgw_tests::logs::LogLine| {
        line.text.contains(&format!("IptablesDnatRule/{name}")) && line.text.contains("spec.externalPort: ")
    };
    let line = lab.daemon().wait_line(0, "the field", mistyped);
    assert!(line.text.contains("write the type that the field has") && line.text.len() < LONGEST, "{}", line.text);
    // Its schema lets no status be written to it: that is said, and an Event says the rest.
    let refused = format!("cannot write the condition of IptablesDnatRule/{name}: ");
    lab.daemon().wait_line(0, &refused, |line| line.text.contains(&refused) && line.text.len() < LONGEST);
    let event = lab.objects.wait_event(Kind::IptablesDnatRule, &name, "InvalidObject");
    assert!(event.starts_with("Warning ") && event.contains("spec.externalPort: "), "{event}");
    // The rest of the same watch goes on.
    lab.set(&rules().eip("eip3", EIP3), |maps| maps.len("EIPS") == 3);
    cluster.unstore("kubeovn.io", "iptables-dnat-rules", &name);
    traffic.assert_unharmed(&lab.net);
}

/// A CRD that takes anything for the field, as those of old versions of kube-ovn do.
fn lenient_crds() -> String {
    let strict =
        "externalPort:\n                description: Port of the elastic IP, 1 to 65535.\n                type: string";
    let (before, after) =
        crds().split_once(strict).map(|(a, b)| (a.to_owned(), b.to_owned())).expect("the field's schema");
    format!("{before}externalPort:\n                x-kubernetes-preserve-unknown-fields: true{after}")
}

#[test]
fn a_field_of_the_wrong_type_has_a_condition_whether_or_not_it_was_right_before() {
    let cluster = Cluster::start();
    cluster.apply_yaml(&lenient_crds());
    let mut lab = ClusterLab::stopped(&cluster, Topology::new(), &cluster.admin_kubeconfig(), &[]);
    cluster.apply_yaml(&lenient_crds());
    lab.objects.set(&rules());
    lab.start();
    let traffic = Traffic::start(&lab.net);
    let (name, eip) = (lab.objects.name("mistyped"), lab.objects.name("eip1"));
    let spec = |port: serde_json::Value| {
        let spec = json!({
            "eip": eip, "externalPort": port, "protocol": "tcp", "internalIp": POD2.to_string(), "internalPort": "1",
        });
        let object = json!({
            "apiVersion": "kubeovn.io/v1", "kind": "IptablesDnatRule", "metadata": {"name": name}, "spec": spec,
        });
        object.to_string()
    };
    let says = |generation: i64| {
        let condition = lab.objects.wait_condition(Kind::IptablesDnatRule, &name, "Programmed", |condition| {
            condition["observedGeneration"] == generation
        });
        assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("InvalidObject")));
        let message = condition["message"].as_str().unwrap_or_default().to_owned();
        let text = "spec.externalPort: invalid type: map, expected a string (write the type that the field has; what the object \
                    said before, if anything, stays in force)";
        assert_eq!(message, text);
    };
    let wrong = json!({"from": 1});
    cluster.apply_yaml(&spec(wrong.clone()));
    says(1);
    let event = lab.objects.wait_event(Kind::IptablesDnatRule, &name, "InvalidObject");
    assert!(event.starts_with("Warning "), "{event}");

    cluster.apply_yaml(&spec(json!("90")));
    lab.wait_maps(|maps| maps.len("DNAT") == 3);
    let _ = lab.objects.wait_programmed(Kind::IptablesDnatRule, &name, "True", "Programmed");
    let mut again = wrong;
    again["to"] = json!(2);
    cluster.apply_yaml(&spec(again));
    says(3);
    assert_eq!(MapDump::rules(&lab.gateway).len("DNAT"), 3);
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn an_address_that_another_gateway_has_too_works_on_and_is_said() {
    let cluster = shared();
    let mut lab = ClusterLab::new(&cluster, &rules());
    let traffic = Traffic::start(&lab.net);
    let (name, twin) = (lab.objects.name("eip1"), lab.objects.name("twin"));
    let elsewhere = format!(
        "apiVersion: kubeovn.io/v1\nkind: IptablesEIP\nmetadata: {{name: {twin}}}\nspec: {{v4ip: {EIP1}, natGwDp: \
         {twin}-gateway}}\n"
    );
    lab.objects.set(&rules().raw(&elsewhere));
    let text = format!("`{EIP1}` is also the address of IptablesEIP `{twin}` on gateway `{twin}-gateway`");
    let condition = lab.objects.wait_condition(Kind::IptablesEip, &name, "Programmed", |condition| {
        condition["message"].as_str().is_some_and(|message| message.contains(&text))
    });
    assert_eq!(condition["status"], "True", "{condition}");
    lab.daemon().wait_line(0, &text, |line| line.text.contains(&text));
    lab.objects.set(&rules());
    let _ = lab.objects.wait_condition(Kind::IptablesEip, &name, "Programmed", |condition| {
        condition["status"] == "True" && condition["message"].as_str().is_some_and(|message| !message.contains(&twin))
    });
    traffic.assert_unharmed(&lab.net);
}

#[test]
fn two_gateways_with_one_eip_both_translate_and_both_say_who_else_has_it() {
    // One of its own: a condition names every other gateway with the address, up to a length.
    let cluster = Cluster::start();
    let labs = [ClusterLab::new(&cluster, &rules()), ClusterLab::new(&cluster, &rules())];
    let traffic = labs.each_ref().map(|lab| Traffic::start(&lab.net));
    for (lab, other) in labs.iter().zip(labs.iter().rev()) {
        let (name, theirs) = (lab.objects.name("eip1"), other.objects.name("eip1"));
        let text =
            format!("`{EIP1}` is also the address of IptablesEIP `{theirs}` on gateway `{}`", other.gateway.name());
        let _ = lab.objects.wait_condition(Kind::IptablesEip, &name, "Programmed", |condition| {
            condition["status"] == "True"
                && condition["message"].as_str().is_some_and(|message| message.contains(&text))
        });
    }
    for (lab, traffic) in labs.iter().zip(traffic) {
        traffic.assert_unharmed(&lab.net);
    }
}
