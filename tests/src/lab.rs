//! What most tests start from: a network, and a gateway in it that translates by some rules.

use std::{
    net::Ipv4Addr,
    sync::{Mutex, PoisonError},
    thread,
};

use natgw_common::abi::DropReason;

use crate::{Daemon, Gateway, Rules, Tally, Topology, drops::Drops, oracle};

/// A [`Topology`] whose gateway runs. At its end natgw must have dropped packets only for the reasons that the test has
/// declared: by default for none.
#[derive(Debug)]
pub struct Lab {
    // In the order of their end: the process, what it left in the kernel, the namespaces.
    daemon: Option<Daemon>,
    /// The gateway's places.
    pub gateway: Gateway,
    /// The network.
    pub net: Topology,
    rules: Mutex<Rules>,
    drops: Drops,
    detached: bool,
}

impl Lab {
    /// The plain network with `rules` in force.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        Self::on(Topology::new(), rules, &[])
    }

    /// `net` with `rules` in force, the daemon started with further arguments.
    #[must_use]
    pub fn on(net: Topology, rules: &Rules, args: &[&str]) -> Self {
        let gateway = Gateway::new(&net.gw).with_args(args);
        gateway.write(rules);
        if oracle::selected() {
            oracle::apply(&net.gw, &[], rules.rules());
            return Self::with(None, gateway, net, rules);
        }
        let daemon = Some(gateway.start());
        Self::with(daemon, gateway, net, rules)
    }

    fn with(daemon: Option<Daemon>, gateway: Gateway, net: Topology, rules: &Rules) -> Self {
        let rules = Mutex::new(rules.clone());
        Self { daemon, gateway, net, rules, drops: Drops::default(), detached: false }
    }

    /// Replaces the rules and waits until they are in force.
    pub fn apply(&self, rules: &Rules) {
        let old = std::mem::replace(&mut *self.rules.lock().unwrap_or_else(PoisonError::into_inner), rules.clone());
        let Some(daemon) = &self.daemon else {
            self.gateway.write(rules);
            oracle::apply(&self.net.gw, old.rules(), rules.rules());
            return;
        };
        let mark = daemon.logs().mark();
        self.gateway.write(rules);
        daemon.wait_message(mark, "reconciled");
    }

    /// Declares that the test makes natgw drop packets for each of `reasons`.
    pub fn expect_drops(&self, reasons: &[DropReason]) {
        self.drops.expect(reasons);
    }

    /// Declares that natgw may drop packets for `reasons`, or may not: it depends on moments that no test controls.
    pub fn allow_drops(&self, reasons: &[DropReason]) {
        self.drops.allow(reasons);
    }

    /// What natgw has counted until now; nothing with iptables.
    ///
    /// # Panics
    /// When it has no data plane.
    #[must_use]
    pub fn tally(&self) -> Tally {
        if oracle::selected() {
            return Tally::default();
        }
        Tally::read(&self.gateway).expect("the gateway has a data plane")
    }

    /// The running daemon.
    ///
    /// # Panics
    /// When the test runs against iptables.
    #[must_use]
    pub fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("natgw runs (this test has no meaning with iptables)")
    }

    /// The running daemon, to be killed.
    ///
    /// # Panics
    /// When the test runs against iptables.
    #[must_use]
    pub fn daemon_mut(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("natgw runs (this test has no meaning with iptables)")
    }

    /// Puts a new daemon in the place of the old one, which is killed if it still runs.
    pub fn replace_daemon(&mut self, daemon: Daemon) {
        self.daemon = Some(daemon);
    }

    /// Ends the daemon and runs `natgw detach`, after the check of the drop counters, which go with it.
    ///
    /// # Panics
    /// When natgw has dropped undeclared packets, or leaves a program or a pin behind.
    pub fn detach(&mut self) {
        self.daemon_mut().term();
        self.assert_drops();
        let detached = self.gateway.natgw(&["detach", "--netns", &self.net.gw.path().display().to_string()]);
        assert!(detached.status.success(), "{}", String::from_utf8_lossy(&detached.stderr));
        self.detached = true;
        assert!(!self.gateway.pins().exists(), "no pin is left");
        let attached = self.net.gw.command("bpftool", &["net", "show"]);
        assert!(!attached.contains("natgw_"), "{attached}");
    }

    fn assert_drops(&self) {
        self.drops.assert(&self.tally());
    }
}

impl Drop for Lab {
    /// Checks the drop counters, unless the test has failed already, runs against iptables or has detached natgw.
    fn drop(&mut self) {
        if !thread::panicking() && !oracle::selected() && !self.detached {
            self.assert_drops();
        }
    }
}

/// The elastic IPs of the tests.
pub const EIP1: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The second one.
pub const EIP2: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 11);
/// The third one.
pub const EIP3: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 12);
