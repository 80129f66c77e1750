//! The same rules done by the kernel's iptables NAT, as kube-ovn's gateway does them.
//!
//! `NATGW_TEST_DATAPLANE=iptables` runs the `netns` layer against it: a test that fails there asserts something that
//! kube-ovn's gateway does not do either, which is then a deliberate difference or a wrong test.

use std::fmt::Write as _;

use crate::{
    Netns,
    rules::{Proto, Rule},
};

/// Whether the tests run against iptables instead of natgw.
#[must_use]
pub fn selected() -> bool {
    std::env::var("NATGW_TEST_DATAPLANE").is_ok_and(|value| value == "iptables")
}

/// Makes the gateway namespace translate by `rules`, which replace `old`.
///
/// # Panics
/// When `iptables` or `ip` refuses.
pub fn apply(gw: &Netns, old: &[Rule], rules: &[Rule]) {
    for (key, value) in [
        ("ip_forward", "1"),
        ("conf/all/rp_filter", "0"),
        ("conf/eth0/rp_filter", "0"),
        ("conf/net1/rp_filter", "0"),
        ("conf/all/send_redirects", "0"),
        ("conf/eth0/send_redirects", "0"),
        ("conf/net1/send_redirects", "0"),
        ("conf/all/promote_secondaries", "1"),
    ] {
        gw.sysctl(&format!("net/ipv4/{key}"), value);
    }
    let address = |wanted: &str| address_of(rules, wanted);
    let mut links = Vec::new();
    for gone in old.iter().filter(|rule| !rules.contains(rule)) {
        if let Rule::Eip { address, .. } = gone {
            links.push(format!("addr del {address}/24 dev net1"));
        }
    }
    let [mut fips, mut dnats, mut fip_sources, mut hairpins] = [const { String::new() }; 4];
    let mut snats = Vec::new();
    for rule in rules {
        match rule {
            Rule::Eip { address, .. } => {
                links.push(format!("addr replace {address}/24 dev net1"));
                line(
                    &mut hairpins,
                    &format!("-o eth0 -m mark --mark 1 -m conntrack --ctorigdst {address} -j SNAT --to {address}"),
                );
            }
            Rule::Fip { eip, pod } => {
                let eip = address(eip);
                line(&mut fips, &format!("-d {eip} -j DNAT --to {pod}"));
                line(&mut fip_sources, &format!("-s {pod} -j SNAT --to {eip}"));
            }
            Rule::Dnat { eip, proto, port, pod, pod_port } => {
                let eip = address(eip);
                line(&mut dnats, &format!("-d {eip} -p {proto} --dport {port} -j DNAT --to {pod}:{pod_port}"));
            }
            Rule::Snat { eip, cidr } => {
                let length: u8 = cidr.split_once('/').map_or(32, |(_, length)| length.parse().expect("a prefix"));
                snats.push((32 - length, format!("-o net1 -s {cidr} -j SNAT --to {}", address(eip))));
            }
            Rule::Route { cidr, next_hop } => links.push(format!("route replace {cidr} via {next_hop} dev eth0")),
            Rule::Raw(_) => {}
        }
    }
    snats.sort_by_key(|(length, _)| *length);
    let mut tables = String::from(
        "*mangle\n:PREROUTING ACCEPT\n-A PREROUTING -i eth0 -j MARK --set-mark 1\nCOMMIT\n\
         *nat\n:PREROUTING ACCEPT\n:POSTROUTING ACCEPT\n",
    );
    prefixed(&mut tables, "-A PREROUTING ", &(fips + &dnats));
    prefixed(&mut tables, "-A POSTROUTING ", &fip_sources);
    for (_, snat) in snats {
        prefixed(&mut tables, "-A POSTROUTING ", &snat);
    }
    prefixed(&mut tables, "-A POSTROUTING ", &hairpins);
    tables.push_str("COMMIT\n");
    gw.ip(&links);
    gw.run(|| crate::command::feed("iptables-legacy-restore", &[], &tables));
    for gone in old.iter().filter(|rule| !rules.contains(rule)) {
        end_connections(gw, old, gone);
    }
}

fn address_of<'a>(rules: &'a [Rule], wanted: &str) -> &'a str {
    let found = rules.iter().find_map(|rule| match rule {
        Rule::Eip { name, address } if name == wanted => Some(address.as_str()),
        Rule::Eip { .. }
        | Rule::Fip { .. }
        | Rule::Dnat { .. }
        | Rule::Snat { .. }
        | Rule::Route { .. }
        | Rule::Raw(_) => None,
    });
    found.unwrap_or_else(|| panic!("no elastic IP `{wanted}` among the rules"))
}

/// What kube-ovn's script does when a rule goes.
fn end_connections(gw: &Netns, old: &[Rule], gone: &Rule) {
    let port_text;
    let args: &[&str] = match gone {
        Rule::Fip { eip, .. } => &["-D", "-d", address_of(old, eip)],
        Rule::Dnat { eip, proto: Proto::Tcp, port, .. } => {
            port_text = port.to_string();
            &["-D", "-d", address_of(old, eip), "-p", "tcp", "--dport", &port_text]
        }
        Rule::Dnat { eip, proto: Proto::Udp, port, .. } => {
            port_text = port.to_string();
            &["-D", "-d", address_of(old, eip), "-p", "udp", "--dport", &port_text]
        }
        Rule::Eip { .. } | Rule::Snat { .. } | Rule::Route { .. } | Rule::Raw(_) => return,
    };
    // It fails when there was no connection.
    let _ = gw.run(|| crate::command::output("conntrack", args));
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn prefixed(out: &mut String, prefix: &str, lines: &str) {
    for text in lines.lines() {
        writeln!(out, "{prefix}{text}").expect("a String takes it");
    }
}
