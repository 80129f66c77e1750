//! The gateway's two interfaces at run time: which exist, what natgw keeps on them.
//!
//! Every step is idempotent: it reads what is there and changes only what differs, so the same code serves the start,
//! an interface that returned, an address somebody removed and the periodic check.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use super::{Options, repair::Repair, startup::Stop};
use crate::{
    core::{
        desired::{DesiredState, Entry, Ipv4Cidr, NextHop},
        objects::Kind,
    },
    datapath::{GatewayPaths, Side, other_gateway_on},
    exit::{Exit, Failure},
    net::{
        NetNs, Prefix,
        addresses::{AddressPlan, kernel_marks_addresses},
        announce::Announcer,
        links::{LinkInfo, LinkState},
        netlink::{Netlink, NetlinkError},
        routes::{DEFAULT, Obstacle, RoutePlan, subnet_gateway},
        sysctl,
    },
    observe::metrics::Drift,
};

/// One of the two interfaces.
#[derive(Debug)]
pub(super) struct Interface {
    pub(super) side: Side,
    pub(super) name: String,
    pub(super) link: Option<LinkInfo>,
    waiting: bool,
}

impl Interface {
    fn new(side: Side, name: &str) -> Self {
        Self { side, name: name.to_owned(), link: None, waiting: false }
    }

    /// Takes over a new state; returns whether it is another interface than before.
    fn update(&mut self, state: LinkState) -> bool {
        let before = self.link.map(|link| link.ifindex);
        match state {
            LinkState::Present(link) => {
                if before != Some(link.ifindex) {
                    tracing::info!(interface = %self.name, ifindex = link.ifindex, "interface is present");
                }
                self.link = Some(link);
                self.waiting = false;
            }
            LinkState::Gone => {
                self.link = None;
                // Once for each time it is missing.
                if !self.waiting {
                    self.waiting = true;
                    tracing::warn!(interface = %self.name, "interface `{}` does not exist; waiting for it", self.name);
                }
            }
        }
        before != self.link.map(|link| link.ifindex)
    }
}

/// What a step did.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Things put back that had been there before.
    pub(super) repaired: Vec<Repair>,
    /// What failed, in words; worth another try.
    pub(super) errors: Vec<String>,
    /// What cannot be done until something else changes, in words.
    pub(super) blocked: Vec<String>,
    /// Addresses that the kernel did not take.
    pub(super) refused: Vec<(Ipv4Addr, String)>,
}

impl Step {
    fn fail(&mut self, error: &NetlinkError) {
        // Whatever belongs to an interface that just went is done when it returns.
        if !error.is_gone() && error.errno() != Some(libc::ENETDOWN) {
            self.errors.push(error.to_string());
        }
    }
}

/// Object and field that a route comes from.
fn place_of(desired: &DesiredState, dest: Prefix) -> String {
    let is_it = |cidr: &&Ipv4Cidr| Prefix::containing(cidr.addr().into(), cidr.prefix_len()) == dest;
    let owner = desired.routes.keys().find(is_it).and_then(|cidr| desired.owner(&Entry::Route(*cidr)));
    let field = owner.filter(|key| key.kind == Kind::Subnet).map_or("spec.routes", |_| "spec.cidrBlock");
    let owner = owner.map_or_else(|| "VpcNatGateway".to_owned(), ToString::to_string);
    format!("{owner}: {field}: route {dest}")
}

/// Kernel state outside the maps.
pub(super) struct Network {
    pub(super) ns: NetNs,
    pub(super) internal: Interface,
    pub(super) external: Interface,
    netlink: Netlink,
    stop: Stop,
    announcer: Announcer,
    subnet_gateway: Option<Ipv4Addr>,
    external_subnet: Option<Prefix>,
    marks: bool,
    /// What was in place on the present interfaces: if it is missing again, that is a repair.
    had_addresses: BTreeSet<Ipv4Addr>,
    had_routes: BTreeMap<Prefix, Ipv4Addr>,
    had_default: Option<Ipv4Addr>,
    announced: BTreeSet<Ipv4Addr>,
    former: BTreeSet<Ipv4Addr>,
}

impl Network {
    pub(super) fn new(ns: NetNs, options: &Options, stop: Stop) -> Result<Self, Failure> {
        let fail = |error: NetlinkError| Failure::from_error(Exit::Preflight, &error);
        let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
        Ok(Self {
            internal: Interface::new(Side::Internal, &options.internal),
            external: Interface::new(Side::External, &options.external),
            netlink: Netlink::open(&ns).map_err(fail)?,
            stop,
            announcer: Announcer::start(&ns).map_err(fail)?,
            subnet_gateway: options.subnet_gateway,
            external_subnet: options.external_subnet,
            marks: release.is_ok_and(|release| kernel_marks_addresses(&release)),
            had_addresses: BTreeSet::new(),
            had_routes: BTreeMap::new(),
            had_default: None,
            announced: BTreeSet::new(),
            former: BTreeSet::new(),
            ns,
        })
    }

    /// Takes over what the watch says. Returns whether another interface carries the name now.
    pub(super) fn link(&mut self, name: &str, state: LinkState) -> bool {
        let Some(interface) =
            [&mut self.internal, &mut self.external].into_iter().find(|interface| interface.name == name)
        else {
            return false;
        };
        let other = interface.update(state);
        if other && interface.side == Side::External {
            self.had_addresses.clear();
            self.had_default = None;
        }
        if other && interface.side == Side::Internal {
            self.had_routes.clear();
        }
        other
    }

    /// How many EIPs are addresses of the external interface.
    pub(super) fn addresses_in_place(&self) -> usize {
        self.had_addresses.len()
    }

    /// How many VPC routes are set.
    pub(super) fn routes_in_place(&self) -> usize {
        self.had_routes.len()
    }

    /// Tells the announcer the external interface's state; after its addresses are in place.
    pub(super) fn announce_link(&self) {
        self.announcer.link(self.external.link);
    }

    /// Sysctls of the namespace and of the interfaces that exist.
    pub(super) fn ensure_sysctls(&self) -> Step {
        let mut settings = sysctl::namespace_settings();
        for interface in [&self.internal, &self.external].into_iter().filter(|interface| interface.link.is_some()) {
            settings.extend(sysctl::interface_settings(&interface.name));
        }
        let mut step = Step::default();
        match self.ns.run(|| sysctl::ensure(&settings)) {
            Ok((written, errors)) => {
                let repair = |name| Repair::new(Drift::Sysctl, format!("sysctl {name}"));
                step.repaired.extend(written.into_iter().map(repair));
                step.errors.extend(errors.iter().filter(|error| !error.is_gone()).map(ToString::to_string));
            }
            Err(error) => step.errors.push(error.to_string()),
        }
        step
    }

    /// Adds the addresses that are missing, and says which ones have to go once their rules have.
    /// Those of `unprogrammed` get none: without a map entry the gateway's own stack would answer for them.
    pub(super) async fn add_addresses(
        &mut self,
        desired: &DesiredState,
        unprogrammed: &BTreeSet<[u8; 4]>,
    ) -> (Step, Vec<(Ipv4Addr, u8)>) {
        let mut step = Step::default();
        let programmed = desired.eips.keys().filter(|eip| !unprogrammed.contains(*eip));
        let eips: BTreeSet<Ipv4Addr> = programmed.map(|eip| Ipv4Addr::from(*eip)).collect();
        let Some(link) = self.external.link else { return (step, Vec::new()) };
        let existing = match self.netlink.addresses(link.ifindex).await {
            Ok(existing) => existing,
            Err(error) => {
                step.fail(&error);
                return (step, Vec::new());
            }
        };
        self.former.retain(|addr| !eips.contains(addr));
        let networks =
            desired.external_networks.iter().map(|net| Prefix::containing(net.addr().into(), net.prefix_len()));
        let subnets: Vec<Prefix> = self.external_subnet.into_iter().chain(networks).collect();
        let plan = AddressPlan::new(&existing, &eips, &self.former, &subnets);
        let mut failed = BTreeSet::new();
        for (addr, prefix_len) in plan.add {
            // Thousands of addresses take a while; the next daemon adds the rest.
            if self.stop.is_asked() {
                return (step, Vec::new());
            }
            let there = existing.iter().any(|address| address.addr == addr);
            match self.netlink.add_address(link.ifindex, (addr, prefix_len)).await {
                Ok(()) if self.had_addresses.contains(&addr) && !there => {
                    let what = format!("address {addr}/{prefix_len} on {}", self.external.name);
                    step.repaired.push(Repair::new(Drift::Address, what));
                    self.announced.remove(&addr);
                }
                Ok(()) => tracing::debug!(%addr, prefix_len, "address added"),
                Err(error) => {
                    failed.insert(addr);
                    step.refused.push((addr, error.to_string()));
                    step.fail(&error);
                }
            }
        }
        self.had_addresses = eips.difference(&failed).copied().collect();
        let new: Vec<Ipv4Addr> = self.had_addresses.difference(&self.announced).copied().collect();
        self.announced.extend(&new);
        self.announcer.announce(new);
        (step, plan.remove)
    }

    /// EIPs that are none any more: only kernels that cannot mark addresses need to be told.
    pub(super) fn forget(&mut self, eips: impl IntoIterator<Item = Ipv4Addr>) {
        let eips: Vec<Ipv4Addr> = eips.into_iter().collect();
        for eip in &eips {
            self.announced.remove(eip);
            if !self.marks {
                self.former.insert(*eip);
            }
        }
        self.announcer.withdraw(eips);
    }

    /// Removes addresses whose rules are gone.
    pub(super) async fn remove_addresses(&mut self, addresses: &[(Ipv4Addr, u8)]) -> Step {
        let mut step = Step::default();
        let Some(link) = self.external.link else { return step };
        for error in self.netlink.remove_addresses(link.ifindex, addresses).await {
            step.fail(&error);
        }
        if step.errors.is_empty() {
            self.former.clear();
        }
        step
    }

    /// Removes EIPs of ours from interfaces that were the external one before: under another option, or another name.
    pub(super) async fn remove_strays(&self, paths: &GatewayPaths, desired: &DesiredState) -> Step {
        let mut step = Step::default();
        let Some(link) = self.external.link else { return step };
        let all = match self.netlink.all_addresses().await {
            Ok(all) => all,
            Err(error) => {
                step.fail(&error);
                return step;
            }
        };
        let mut strays: BTreeMap<u32, Vec<(Ipv4Addr, u8)>> = BTreeMap::new();
        for (ifindex, address) in all {
            if ifindex != link.ifindex && address.ours && desired.eips.contains_key(&address.addr.octets()) {
                strays.entry(ifindex).or_default().push((address.addr, address.prefix_len));
            }
        }
        for (ifindex, addresses) in strays {
            match self.ns.run(|| other_gateway_on(paths, ifindex)) {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(_))) => continue,
                Ok(Err(error)) => {
                    step.errors.push(error.to_string());
                    continue;
                }
                Err(error) => {
                    step.errors.push(error.to_string());
                    continue;
                }
            }
            for error in self.netlink.remove_addresses(ifindex, &addresses).await {
                step.fail(&error);
            }
            tracing::info!(
                ifindex,
                addresses = addresses.len(),
                "EIPs removed from an interface that carries them no more"
            );
        }
        step
    }

    /// Sets the routes on the internal interface. `prune`: also removes ours that are not wanted any more.
    pub(super) async fn ensure_routes(&mut self, desired: &DesiredState, prune: bool) -> Step {
        let mut step = Step::default();
        let Some(link) = self.internal.link else { return step };
        let existing = match self.netlink.routes(link.ifindex).await {
            Ok(existing) => existing,
            Err(error) => {
                step.fail(&error);
                return step;
            }
        };
        let mut wanted = BTreeMap::new();
        let mut unknown = BTreeSet::new();
        for (cidr, next_hop) in &desired.routes {
            let dest = Prefix::containing(cidr.addr().into(), cidr.prefix_len());
            match next_hop {
                NextHop::Addr(addr) => drop(wanted.insert(dest, Ipv4Addr::from(*addr))),
                NextHop::SubnetGateway => match subnet_gateway(self.subnet_gateway, &self.internal.name, &existing) {
                    Ok(gateway) => drop(wanted.insert(dest, gateway)),
                    Err(error) => {
                        unknown.insert(dest);
                        step.blocked.push(format!("{}: {error}", place_of(desired, dest)));
                    }
                },
            }
        }
        let plan = RoutePlan::new(&existing, &wanted);
        let obstacles = if plan.replace.is_empty() {
            BTreeMap::new()
        } else {
            match self.netlink.obstacles(link.ifindex).await {
                Ok(obstacles) => obstacles,
                Err(error) => {
                    step.fail(&error);
                    return step;
                }
            }
        };
        for (dest, via) in plan.replace {
            if let Some(obstacle) = obstacles.get(&dest) {
                wanted.remove(&dest);
                let problem = self.in_the_way(dest, *obstacle);
                step.blocked.push(format!("{}: {problem}", place_of(desired, dest)));
                continue;
            }
            match self.netlink.replace_route(link.ifindex, (dest, via)).await {
                Ok(()) if self.had_routes.get(&dest) == Some(&via) => {
                    let what = format!("route {dest} via {via} on {}", self.internal.name);
                    step.repaired.push(Repair::new(Drift::Route, what));
                }
                Ok(()) => tracing::info!(%dest, %via, "route set"),
                Err(error) => {
                    wanted.remove(&dest);
                    step.fail(&error);
                }
            }
        }
        // A route whose next hop is only unknown now stays.
        for (dest, via) in plan.remove.into_iter().filter(|(dest, _)| prune && !unknown.contains(dest)) {
            match self.netlink.remove_route(link.ifindex, (dest, via)).await {
                Ok(()) => tracing::info!(%dest, %via, "route removed"),
                Err(error) => step.fail(&error),
            }
        }
        self.had_routes = wanted;
        step
    }

    fn in_the_way(&self, dest: Prefix, obstacle: Obstacle) -> String {
        let Obstacle::Elsewhere { ifindex, via } = obstacle else {
            return format!(
                "{dest} is a connected subnet of the gateway; remove the route, or correct its destination"
            );
        };
        let name = ifindex.and_then(|index| self.ns.run(|| nix::net::if_::if_indextoname(index)).ok()?.ok());
        let dev = name.map(|name| format!(" dev {}", name.to_string_lossy())).unwrap_or_default();
        let via = via.map(|via| format!(" via {via}")).unwrap_or_default();
        format!(
            "there is another route to it{via}{dev}, which is not replaced; remove this route, or that one: \
             ip route del {dest}{via}{dev}"
        )
    }

    /// Sets the default route of the external interface if it has none, and follows the subnet's gateway with one of
    /// ours; a foreign one stays as it is.
    pub(super) async fn ensure_default_route(&mut self, desired: &DesiredState) -> Step {
        let mut step = Step::default();
        let (Some(link), Some(gateway)) = (self.external.link, desired.external_gateway) else { return step };
        let existing = match self.netlink.routes(link.ifindex).await {
            Ok(existing) => existing,
            Err(error) => {
                step.fail(&error);
                return step;
            }
        };
        let via = Ipv4Addr::from(gateway);
        let there = existing.iter().any(|route| route.dest == DEFAULT && (!route.ours || route.gateway == Some(via)));
        if !there {
            match self.netlink.set_default_route(link.ifindex, via).await {
                Ok(()) if self.had_default == Some(via) => {
                    let what = format!("default route via {via} on {}", self.external.name);
                    step.repaired.push(Repair::new(Drift::Route, what));
                }
                Ok(()) => tracing::info!(%via, "default route set"),
                Err(error) => step.fail(&error),
            }
        }
        self.had_default = step.errors.is_empty().then_some(via);
        step
    }
}
