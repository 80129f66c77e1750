//! The rules of a test, written as kube-ovn manifests.

use std::{
    fmt::{self, Display, Write as _},
    fs,
    path::Path,
};

/// The gateway's name in every test.
pub const GATEWAY: &str = "gw1";

/// A transport protocol of a DNAT rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proto {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// One rule, as the tests speak of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// An elastic IP.
    Eip {
        /// Its name.
        name: String,
        /// Its address.
        address: String,
    },
    /// A floating IP.
    Fip {
        /// The elastic IP's name.
        eip: String,
        /// The pod.
        pod: String,
    },
    /// A port mapping.
    Dnat {
        /// The elastic IP's name.
        eip: String,
        /// Its protocol.
        proto: Proto,
        /// The port outside.
        port: u16,
        /// The pod.
        pod: String,
        /// The port of the pod.
        pod_port: u16,
    },
    /// A source NAT.
    Snat {
        /// The elastic IP's name.
        eip: String,
        /// Which sources.
        cidr: String,
    },
    /// A route of the gateway on its internal interface.
    Route {
        /// Where to.
        cidr: String,
        /// Via whom.
        next_hop: String,
    },
    /// Anything else, as YAML.
    Raw(String),
}

/// A set of rules, in the order of their age (the first is the oldest).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// No rules.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds the elastic IP `name` with `address`.
    #[must_use]
    pub fn eip(self, name: &str, address: impl Display) -> Self {
        self.with(Rule::Eip { name: name.to_owned(), address: address.to_string() })
    }

    /// Adds a floating IP.
    #[must_use]
    pub fn fip(self, eip: &str, pod: impl Display) -> Self {
        self.with(Rule::Fip { eip: eip.to_owned(), pod: pod.to_string() })
    }

    /// Adds a port mapping.
    #[must_use]
    pub fn dnat(self, eip: &str, proto: Proto, port: u16, pod: impl Display, pod_port: u16) -> Self {
        self.with(Rule::Dnat { eip: eip.to_owned(), proto, port, pod: pod.to_string(), pod_port })
    }

    /// Adds a source NAT.
    #[must_use]
    pub fn snat(self, eip: &str, cidr: impl Display) -> Self {
        self.with(Rule::Snat { eip: eip.to_owned(), cidr: cidr.to_string() })
    }

    /// Adds a route on the internal interface.
    #[must_use]
    pub fn route(self, cidr: impl Display, next_hop: impl Display) -> Self {
        self.with(Rule::Route { cidr: cidr.to_string(), next_hop: next_hop.to_string() })
    }

    /// Adds a document as it is.
    #[must_use]
    pub fn raw(self, yaml: &str) -> Self {
        self.with(Rule::Raw(yaml.to_owned()))
    }

    fn with(mut self, rule: Rule) -> Self {
        self.0.push(rule);
        self
    }

    /// All but those that `unwanted` picks.
    #[must_use]
    pub fn without(mut self, unwanted: impl Fn(&Rule) -> bool) -> Self {
        self.0.retain(|rule| !unwanted(rule));
        self
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.0
    }

    /// The manifests: one document per rule, and the gateway with its routes.
    ///
    /// # Panics
    /// Never: writing into a `String` does not fail.
    #[must_use]
    pub fn yaml(&self) -> String {
        self.yaml_for(GATEWAY)
    }

    /// The same for another gateway, for clusters that several tests share: the objects' names begin with its name.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn yaml_for(&self, gateway: &str) -> String {
        let prefix = if gateway == GATEWAY { String::new() } else { format!("{gateway}-") };
        let mut out = String::new();
        let mut routes = String::new();
        for rule in &self.0 {
            if let Rule::Route { cidr, next_hop } = rule {
                write!(routes, "\n    - {{cidr: {cidr}, nextHopIP: {next_hop}}}").expect("a String takes it");
            }
        }
        let routes = if routes.is_empty() { String::new() } else { format!("\n  routes:{routes}") };
        write!(
            out,
            "apiVersion: kubeovn.io/v1\nkind: VpcNatGateway\nmetadata: {{name: {gateway}}}\n\
             spec:\n  vpc: vpc1\n  subnet: net1\n  lanIp: 10.0.1.1{routes}\n"
        )
        .expect("a String takes it");
        for (age, rule) in self.0.iter().enumerate() {
            out.push_str(&document(age, rule, gateway, &prefix));
        }
        out
    }

    /// Writes the manifests into `dir` as one file that replaces its predecessor atomically.
    ///
    /// # Panics
    /// When the directory cannot be written.
    pub fn write(&self, dir: &Path) {
        // Written beside the directory and then moved into it: the daemon sees one event.
        let draft = dir.with_extension("draft");
        fs::write(&draft, self.yaml()).expect("the manifest directory is writable");
        fs::rename(&draft, dir.join("rules.yaml")).expect("the manifest directory is writable");
    }
}

fn document(age: usize, rule: &Rule, gateway: &str, prefix: &str) -> String {
    let (kind, name, spec) = match rule {
        Rule::Eip { name, address } => ("IptablesEIP", name.clone(), format!("v4ip: {address}\n  natGwDp: {gateway}")),
        Rule::Fip { eip, pod } => {
            ("IptablesFIPRule", format!("fip-{eip}-{pod}"), format!("eip: {prefix}{eip}\n  internalIp: {pod}"))
        }
        Rule::Dnat { eip, proto, port, pod, pod_port } => (
            "IptablesDnatRule",
            format!("dnat-{eip}-{proto}-{port}"),
            format!(
                "eip: {prefix}{eip}\n  externalPort: \"{port}\"\n  protocol: {proto}\n  internalIp: {pod}\n  \
                 internalPort: \"{pod_port}\""
            ),
        ),
        Rule::Snat { eip, cidr } => (
            "IptablesSnatRule",
            format!("snat-{eip}-{}", cidr.replace('/', "-")),
            format!("eip: {prefix}{eip}\n  internalCIDR: {cidr}"),
        ),
        Rule::Route { .. } => return String::new(),
        Rule::Raw(yaml) => return format!("---\n{yaml}\n"),
    };
    let (minute, second) = (age / 60, age % 60);
    format!(
        "---\napiVersion: kubeovn.io/v1\nkind: {kind}\nmetadata:\n  name: {prefix}{name}\n  \
         creationTimestamp: \"2026-01-01T00:{minute:02}:{second:02}Z\"\nspec:\n  {spec}\n"
    )
}
