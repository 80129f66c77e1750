//! The external `Subnet`: the prefix length of the EIPs, and the default route.

use natgw_tests::{
    Cluster, ClusterLab, Rules, clock,
    daemon::PATIENCE,
    lab::{EIP1, EIP2},
    traffic::{Traffic, rules},
};
use natgw_userspace::core::objects::Kind;
use serde_json::json;

fn with_subnet(name: &str, cidr: &str, gateway: &str) -> Rules {
    rules().raw(&format!(
        "apiVersion: kubeovn.io/v1\nkind: Subnet\nmetadata: {{name: {name}}}\n\
         spec: {{cidrBlock: {cidr}, gateway: {gateway}, provider: {name}.default}}\n"
    ))
}

#[test]
fn eips_have_the_prefix_of_the_external_subnet_and_the_default_route_its_gateway() {
    // One of its own: a condition names every other gateway with the address, up to a length.
    let cluster = Cluster::start();
    let mut lab = ClusterLab::new(&cluster, &rules());
    let (gw, subnet) = (lab.gateway.name().to_owned(), lab.objects.name("outside"));
    let addresses = |lab: &ClusterLab<'_>| lab.net.gw.command("ip", &["-o", "-4", "address", "show", "dev", "net1"]);
    let default = |lab: &ClusterLab<'_>| lab.net.gw.command("ip", &["route", "show", "default"]);
    let prefix = |lab: &ClusterLab<'_>, prefix: u8| {
        let all = addresses(lab);
        [EIP1, EIP2].iter().all(|eip| all.contains(&format!("inet {eip}/{prefix} ")))
    };
    // The CNI's own would stay.
    lab.net.gw.ip(&["route del default".to_owned()]);
    lab.objects.patch(Kind::VpcNatGateway, &gw, &json!({"spec": {"externalSubnets": [subnet]}}));
    lab.objects.change(&with_subnet(&subnet, "203.0.113.0/25", "203.0.113.100"));
    clock::eventually("the default route", PATIENCE, || default(&lab).contains("via 203.0.113.100 dev net1"));
    clock::eventually("the prefix", PATIENCE, || prefix(&lab, 25));
    lab.objects.change(&with_subnet(&subnet, "203.0.113.0/25", "203.0.113.254"));
    clock::eventually("the route follows", PATIENCE, || default(&lab).contains("via 203.0.113.254 dev net1"));
    assert_eq!(default(&lab).lines().count(), 1, "{}", default(&lab));

    // A route of the gateway's own follows its next hop.
    for hop in ["10.0.1.254", "10.0.1.253"] {
        let routes = json!({"spec": {"routes": [{"cidr": "10.0.2.0/24", "nextHopIP": hop}]}});
        lab.objects.patch(Kind::VpcNatGateway, &gw, &routes);
        let route = || lab.net.gw.command("ip", &["route", "show", "10.0.2.0/24"]);
        clock::eventually("the route", PATIENCE, || route().contains(&format!("via {hop} ")));
    }

    // So does the prefix, and no packet minds.
    let traffic = Traffic::start(&lab.net);
    lab.objects.change(&with_subnet(&subnet, "203.0.113.0/26", "203.0.113.254"));
    clock::eventually("the prefix follows", PATIENCE, || prefix(&lab, 26));

    // A subnet that the addresses are not of is told, and they stay.
    lab.objects.change(&with_subnet(&subnet, "198.51.100.128/25", "203.0.113.254"));
    let text = format!(
        "warning: spec.v4ip: `{EIP1}` is not in Subnet `{subnet}` (198.51.100.128/25) (give it an address of that network, or \
         name another Subnet)"
    );
    let told = |condition: &serde_json::Value| condition["status"] == "True" && condition["message"] == text;
    let _ = lab.objects.wait_condition(Kind::IptablesEip, &lab.objects.name("eip1"), "Programmed", told);
    traffic.assert_unharmed(&lab.net);
    let repaired = lab.daemon().logs().lines().iter().filter(|line| line.text.contains("repaired")).count();
    assert_eq!(repaired, 0, "a change that somebody asks for is no drift");
}
