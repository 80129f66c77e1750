//! The gateway's own condition: whether it forwards.

use super::condition::Condition;

/// Type of the condition.
pub const READY: &str = "Ready";

/// Facts about the gateway as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GatewayFacts {
    /// Interfaces that do not exist.
    pub missing: Vec<String>,
    /// Interfaces without a program.
    pub unattached: Vec<String>,
    /// How the programs are attached, for the message.
    pub mechanism: &'static str,
    /// What could not be programmed, in numbers.
    pub failures: usize,
    /// EIPs, FIPs, DNAT, SNAT entries and routes.
    pub counts: [usize; 5],
}

impl GatewayFacts {
    /// The condition. Reasons: `Ready`, `InterfaceMissing`, `NotAttached`, `NotProgrammed`.
    #[must_use]
    pub fn condition(&self, generation: i64) -> Condition {
        let [eips, fips, dnat, snat, routes] = self.counts;
        let (status, reason, message) = if !self.missing.is_empty() {
            let names = self.missing.join(", ");
            (false, "InterfaceMissing", format!("waiting for {names}: is the pod's network attachment there?"))
        } else if !self.unattached.is_empty() {
            (false, "NotAttached", format!("no program on {}: the daemon's log says why", self.unattached.join(", ")))
        } else if self.failures > 0 {
            (
                false,
                "NotProgrammed",
                format!("{} things could not be programmed; the daemon's log says which", self.failures),
            )
        } else {
            let counts = format!("{eips} EIPs, {fips} FIPs, {dnat} DNAT and {snat} SNAT entries, {routes} routes");
            (true, "Ready", format!("forwarding through {}: {counts}", self.mechanism))
        };
        Condition::new(READY, status, reason, &message, generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::verdict::reason;

    #[test]
    fn the_most_basic_lack_is_named_first() {
        let mut facts = GatewayFacts { mechanism: "tcx", counts: [1, 2, 3, 4, 5], ..GatewayFacts::default() };
        let said = |facts: &GatewayFacts| {
            let condition = facts.condition(7);
            (condition.status, condition.reason, condition.message)
        };
        let (status, reason, message) = said(&facts);
        assert!(status && reason == "Ready", "{message}");
        assert_eq!(message, "forwarding through tcx: 1 EIPs, 2 FIPs, 3 DNAT and 4 SNAT entries, 5 routes");
        facts.failures = 2;
        assert_eq!(said(&facts).1, "NotProgrammed");
        facts.unattached = vec!["eth0".to_owned()];
        assert_eq!(said(&facts).1, "NotAttached");
        facts.missing = vec!["net1".to_owned()];
        let (status, reason, message) = said(&facts);
        assert!(!status && reason == "InterfaceMissing" && message.contains("net1"));
    }

    /// The reasons that a table of docs/cluster.md names, those in another document aside.
    fn documented(condition: &str) -> Vec<String> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cluster.md");
        let text = std::fs::read_to_string(path).expect("docs/cluster.md");
        let (_, table) = text.split_once(&format!("| reason of `{condition}` |")).expect("the table");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        rows.filter_map(|row| row.strip_prefix("| `")?.split('`').next()).map(str::to_owned).collect()
    }

    #[test]
    fn the_document_names_every_reason() {
        assert_eq!(documented("Ready"), ["Ready", "InterfaceMissing", "NotAttached", "NotProgrammed"]);
        let own = [reason::PROGRAMMED, reason::DATA_PLANE_ERROR, reason::INTERFACE_MISSING];
        assert_eq!(documented("Programmed"), [&own[..], &["Unsupported"]].concat());
    }
}
