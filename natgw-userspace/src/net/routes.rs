//! Routes of the VPC on the internal interface, and keeping the external interface's routes over address removals.
//!
//! natgw's routes carry protocol 157; only those are removed. The next hop `gateway` is the gateway of the internal
//! subnet: without a cluster to ask it is the configured one, else the one next hop that other routes of the
//! interface already use. The first host address of the subnet is only a convention and is never guessed.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink has dozens of kinds and grows; the few of interest are named"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use futures::TryStreamExt;
use rtnetlink::{
    RouteMessageBuilder,
    packet_route::route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteNextHopFlags, RouteProtocol,
        RouteScope, RouteType,
    },
};
use thiserror::Error;

use super::{
    PROTO_NATGW, Prefix,
    netlink::{Netlink, NetlinkError},
};

/// An IPv4 route of the main table as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelRoute {
    /// Destination.
    pub dest: Prefix,
    /// Next hop; none for a connected subnet.
    pub gateway: Option<Ipv4Addr>,
    /// Whether it carries natgw's protocol number.
    pub ours: bool,
}

/// Everything.
pub const DEFAULT: Prefix = Prefix::ANY;

/// What has to change on the internal interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoutePlan {
    /// To add, or to put in place of another next hop.
    pub replace: Vec<(Prefix, Ipv4Addr)>,
    /// To remove.
    pub remove: Vec<(Prefix, Ipv4Addr)>,
}

impl RoutePlan {
    /// Compares the interface's routes with the wanted ones. A foreign route that says the same serves as well.
    #[must_use]
    pub fn new(existing: &[KernelRoute], desired: &BTreeMap<Prefix, Ipv4Addr>) -> Self {
        let has = |dest: Prefix, gateway: Ipv4Addr| {
            existing.iter().any(|route| route.dest == dest && route.gateway == Some(gateway))
        };
        let replace = desired.iter().map(|(dest, gateway)| (*dest, *gateway));
        let replace = replace.filter(|(dest, gateway)| !has(*dest, *gateway)).collect();
        // A changed next hop replaces the old route in place.
        let stale = existing.iter().filter(|route| route.ours && !desired.contains_key(&route.dest));
        let remove = stale.filter_map(|route| Some((route.dest, route.gateway?))).collect();
        Self { replace, remove }
    }
}

/// A route that somebody else has for the destination of one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The destination is a connected subnet.
    Connected,
    /// It leads through another interface, or nowhere.
    Elsewhere {
        /// That interface; the first of several next hops.
        ifindex: Option<u32>,
        /// Its next hop.
        via: Option<Ipv4Addr>,
    },
}

/// Why `nextHopIP: gateway` has no address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GatewayUnknown {
    /// Nothing to learn it from.
    #[error(
        "the gateway of the internal subnet is not known: no route on `{interface}` has a next hop; \
         set `subnet_gateway` under [internal] in the configuration file, or write the address as nextHopIP"
    )]
    NoRoute {
        /// The internal interface.
        interface: String,
    },
    /// More than one candidate.
    #[error(
        "the gateway of the internal subnet is ambiguous: routes on `{interface}` use {candidates:?}; \
         set `subnet_gateway` under [internal] in the configuration file, or write the address as nextHopIP"
    )]
    Ambiguous {
        /// The internal interface.
        interface: String,
        /// Next hops in use.
        candidates: Vec<Ipv4Addr>,
    },
}

/// The gateway of the internal subnet.
///
/// # Errors
/// When it is neither configured nor the only next hop of the interface's foreign routes.
pub fn subnet_gateway(
    configured: Option<Ipv4Addr>,
    interface: &str,
    routes: &[KernelRoute],
) -> Result<Ipv4Addr, GatewayUnknown> {
    if let Some(gateway) = configured {
        return Ok(gateway);
    }
    let foreign = routes.iter().filter(|route| !route.ours);
    let candidates: Vec<Ipv4Addr> =
        foreign.filter_map(|route| route.gateway).collect::<BTreeSet<_>>().into_iter().collect();
    let interface = interface.to_owned();
    match candidates.as_slice() {
        [gateway] => Ok(*gateway),
        [] => Err(GatewayUnknown::NoRoute { interface }),
        [..] => Err(GatewayUnknown::Ambiguous { interface, candidates }),
    }
}

impl Netlink {
    /// The main table's IPv4 unicast routes through an interface.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn routes(&self, ifindex: u32) -> Result<Vec<KernelRoute>, NetlinkError> {
        let messages = self.dump_main_table().await?;
        Ok(messages.iter().filter_map(|route| describe_on(route, ifindex)).collect())
    }

    /// What is in the way of routes of ours through `ifindex`: the kernel would replace it without a word.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn obstacles(&self, ifindex: u32) -> Result<BTreeMap<Prefix, Obstacle>, NetlinkError> {
        let mut main = self.dump_all().await?;
        main.retain(|route| table(route) == u32::from(RouteHeader::RT_TABLE_MAIN));
        let mut found = BTreeMap::new();
        for route in &main {
            if let Some(obstacle) = obstacle(route, ifindex) {
                found.insert(describe(route).dest, obstacle);
            }
        }
        Ok(found)
    }

    /// Adds a route with natgw's mark, or changes the next hop of the one that is there.
    ///
    /// # Errors
    /// When the kernel refuses; the error names route and next hop.
    pub async fn replace_route(&self, ifindex: u32, (dest, via): (Prefix, Ipv4Addr)) -> Result<(), NetlinkError> {
        let message = ours(ifindex, dest, via);
        self.handle.route().add(message).replace().execute().await.map_err(|error| {
            NetlinkError::new(format!("set route {dest} via {via} (is the next hop in a connected subnet?)"), &error)
        })
    }

    /// Sets the default route with natgw's mark. The next hop need not lie in a connected subnet: EIPs of another
    /// external subnet on the same link are reached as well.
    ///
    /// # Errors
    /// When the kernel refuses; the error names the next hop.
    pub async fn set_default_route(&self, ifindex: u32, via: Ipv4Addr) -> Result<(), NetlinkError> {
        let mut message = ours(ifindex, DEFAULT, via);
        message.header.flags.insert(RouteFlags::Onlink);
        let outcome = self.handle.route().add(message).replace().execute().await;
        outcome.map_err(|error| NetlinkError::new(format!("set the default route via {via}"), &error))
    }

    /// Removes a route of ours. One that is not there is success.
    ///
    /// # Errors
    /// When the kernel refuses; the error names route and next hop.
    pub async fn remove_route(&self, ifindex: u32, (dest, via): (Prefix, Ipv4Addr)) -> Result<(), NetlinkError> {
        let removal = self.handle.route().del(ours(ifindex, dest, via)).execute().await;
        match removal.map_err(|error| NetlinkError::new(format!("remove route {dest} via {via}"), &error)) {
            Err(error) if matches!(error.errno(), Some(libc::ESRCH | libc::ENODEV)) => Ok(()),
            other => other,
        }
    }

    /// Routes of every table through an interface that the kernel did not make by itself, with everything needed to put
    /// them back.
    pub(super) async fn raw_routes(&self, ifindex: u32) -> Result<Vec<RouteMessage>, NetlinkError> {
        let mut routes = self.dump_all().await?;
        let through = |route: &RouteMessage| next_hops(route).iter().any(|(oif, _)| *oif == Some(ifindex));
        routes.retain(|route| route.header.protocol != RouteProtocol::Kernel && through(route));
        Ok(routes)
    }

    /// Puts back those of `before` that are gone. A next hop whose subnet went with the last address is set on-link: the
    /// route must be there again when the next address arrives.
    pub(super) async fn restore_routes(&self, ifindex: u32, before: Vec<RouteMessage>) -> Vec<NetlinkError> {
        let after: Vec<RouteIdentity> = match self.raw_routes(ifindex).await {
            Ok(after) => after.iter().map(identity).collect(),
            Err(error) => return vec![error],
        };
        let mut lost: Vec<RouteMessage> =
            before.into_iter().filter(|route| !after.contains(&identity(route))).collect();
        if lost.is_empty() {
            return Vec::new();
        }
        let addresses: BTreeSet<Ipv4Addr> = match self.all_addresses().await {
            Ok(addresses) => addresses.into_iter().map(|(_, address)| address.addr).collect(),
            Err(error) => return vec![error],
        };
        // Subnets before the next hops inside them.
        lost.sort_by_key(|route| next_hops(route).iter().any(|(_, gateway)| gateway.is_some()));
        let mut errors = Vec::new();
        for mut route in lost {
            let dest = describe(&route).dest;
            make_addable(&mut route, &addresses);
            let mut outcome = self.handle.route().add(route.clone()).execute().await;
            if outcome.is_err() && set_onlink(&mut route) {
                outcome = self.handle.route().add(route).execute().await;
            }
            let action = format!("restore route {dest} of the external interface");
            // Somebody else was quicker.
            let refused = outcome.map_err(|error| NetlinkError::new(action, &error)).err();
            errors.extend(refused.filter(|error| error.errno() != Some(libc::EEXIST)));
        }
        errors
    }

    /// Every route with natgw's mark, with its interface.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn all_our_routes(&self) -> Result<Vec<(u32, (Prefix, Ipv4Addr))>, NetlinkError> {
        let all = self.dump_main_table().await?;
        let ours = all.iter().filter_map(|route| {
            let description = describe(route);
            Some((oif(route)?, (description.dest, description.gateway?))).filter(|_| description.ours)
        });
        Ok(ours.collect())
    }

    async fn dump_main_table(&self) -> Result<Vec<RouteMessage>, NetlinkError> {
        let mut routes = self.dump_all().await?;
        let main = u32::from(RouteHeader::RT_TABLE_MAIN);
        routes.retain(|route| table(route) == main && route.header.kind == RouteType::Unicast);
        Ok(routes)
    }

    async fn dump_all(&self) -> Result<Vec<RouteMessage>, NetlinkError> {
        let all = self.handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute();
        all.try_collect().await.map_err(|error| NetlinkError::new("list the routes", &error))
    }
}

/// The header has room for small numbers only.
fn table(route: &RouteMessage) -> u32 {
    let number = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(number) => Some(*number),
        _ => None,
    });
    number.unwrap_or_else(|| u32::from(route.header.table))
}

fn oif(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

/// Interface and address of each next hop: one, or those of a multipath route.
fn next_hops(route: &RouteMessage) -> Vec<(Option<u32>, Option<Ipv4Addr>)> {
    let several = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => Some(hops),
        _ => None,
    });
    match several {
        Some(hops) => hops.iter().map(|hop| (Some(hop.interface_index), gateway_in(&hop.attributes))).collect(),
        None => vec![(oif(route), gateway_in(&route.attributes))],
    }
}

fn obstacle(route: &RouteMessage, ifindex: u32) -> Option<Obstacle> {
    let hops = next_hops(route);
    let unicast = route.header.kind == RouteType::Unicast;
    if unicast && route.header.scope == RouteScope::Link && hops.iter().all(|(_, gateway)| gateway.is_none()) {
        return Some(Obstacle::Connected);
    }
    // Only one with our metric and type of service would be replaced.
    let rival = priority(route) == 0 && route.header.tos == 0;
    let elsewhere = hops.iter().find(|(oif, _)| *oif != Some(ifindex));
    elsewhere.filter(|_| rival).map(|(ifindex, via)| Obstacle::Elsewhere { ifindex: *ifindex, via: *via })
}

/// Takes off what a dump says and a request must not, and a source address that is gone.
fn make_addable(route: &mut RouteMessage, addresses: &BTreeSet<Ipv4Addr>) {
    route.attributes.retain(|attribute| match attribute {
        RouteAttribute::CacheInfo(_) => false,
        RouteAttribute::PrefSource(RouteAddress::Inet(source)) => addresses.contains(source),
        _ => true,
    });
    route.header.flags.remove(RouteFlags::Dead | RouteFlags::Linkdown);
    for attribute in &mut route.attributes {
        let RouteAttribute::MultiPath(hops) = attribute else { continue };
        for hop in hops {
            hop.flags.remove(RouteNextHopFlags::Dead | RouteNextHopFlags::Linkdown);
        }
    }
}

/// Lets the next hops lie outside of connected subnets. Returns whether there is any.
fn set_onlink(route: &mut RouteMessage) -> bool {
    if gateway_in(&route.attributes).is_some() {
        route.header.flags.insert(RouteFlags::Onlink);
        return true;
    }
    let mut any = false;
    for attribute in &mut route.attributes {
        let RouteAttribute::MultiPath(hops) = attribute else { continue };
        for hop in hops.iter_mut().filter(|hop| gateway_in(&hop.attributes).is_some()) {
            hop.flags.insert(RouteNextHopFlags::Onlink);
            any = true;
        }
    }
    any
}

fn ours(ifindex: u32, dest: Prefix, via: Ipv4Addr) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(dest.network(), dest.prefix_len())
        .gateway(via)
        .output_interface(ifindex)
        .protocol(RouteProtocol::Other(PROTO_NATGW))
        .build()
}

type RouteIdentity = (u32, Prefix, u8, u32, Vec<(Option<u32>, Option<Ipv4Addr>)>);

fn identity(route: &RouteMessage) -> RouteIdentity {
    (table(route), describe(route).dest, route.header.tos, priority(route), next_hops(route))
}

fn priority(route: &RouteMessage) -> u32 {
    let priority = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Priority(value) => Some(*value),
        _ => None,
    });
    priority.unwrap_or(0)
}

fn gateway_in(attributes: &[RouteAttribute]) -> Option<Ipv4Addr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(addr)) => Some(*addr),
        _ => None,
    })
}

/// The route as far as it leads through `ifindex`.
fn describe_on(route: &RouteMessage, ifindex: u32) -> Option<KernelRoute> {
    let (_, gateway) = next_hops(route).into_iter().find(|(oif, _)| *oif == Some(ifindex))?;
    Some(KernelRoute { gateway, ..describe(route) })
}

fn describe(route: &RouteMessage) -> KernelRoute {
    let dest = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(addr)) => Some(*addr),
        _ => None,
    });
    // The default route has no destination attribute.
    let dest = Prefix::containing(dest.unwrap_or(Ipv4Addr::UNSPECIFIED), route.header.destination_prefix_length);
    let ours = route.header.protocol == RouteProtocol::Other(PROTO_NATGW);
    KernelRoute { dest, gateway: gateway_in(&route.attributes), ours }
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::route::RouteNextHop;

    use super::*;

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().expect("an address")
    }

    fn route(dest: &str, gateway: Option<&str>, ours: bool) -> KernelRoute {
        KernelRoute { dest: dest.parse().expect("a prefix"), gateway: gateway.map(ip), ours }
    }

    fn wanted(routes: &[(&str, &str)]) -> BTreeMap<Prefix, Ipv4Addr> {
        routes.iter().map(|(dest, via)| (dest.parse().expect("a prefix"), ip(via))).collect()
    }

    #[test]
    fn missing_and_changed_routes_are_set_and_stale_ones_of_ours_removed() {
        let existing = [
            route("10.1.0.0/16", Some("10.0.0.1"), true),
            route("10.2.0.0/16", Some("10.0.0.1"), true),
            route("10.3.0.0/16", Some("10.0.0.1"), true),
            route("10.4.0.0/16", Some("10.0.0.1"), false),
        ];
        let desired = wanted(&[("10.1.0.0/16", "10.0.0.1"), ("10.2.0.0/16", "10.0.0.2"), ("10.5.0.0/16", "10.0.0.1")]);
        let plan = RoutePlan::new(&existing, &desired);
        let set: Vec<String> = plan.replace.iter().map(|(dest, via)| format!("{dest} {via}")).collect();
        assert_eq!(set, ["10.2.0.0/16 10.0.0.2", "10.5.0.0/16 10.0.0.1"]);
        assert_eq!(plan.remove, [("10.3.0.0/16".parse().expect("a prefix"), ip("10.0.0.1"))]);
    }

    #[test]
    fn a_foreign_route_that_says_the_same_serves_as_well() {
        let existing = [route("10.1.0.0/16", Some("10.0.0.1"), false)];
        assert_eq!(RoutePlan::new(&existing, &wanted(&[("10.1.0.0/16", "10.0.0.1")])), RoutePlan::default());
    }

    fn message(dest: &str, metric: u32, hops: &[(u32, Option<&str>)]) -> RouteMessage {
        let dest: Prefix = dest.parse().expect("a prefix");
        let builder = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(dest.network(), dest.prefix_len());
        let mut route = builder.priority(metric).build();
        let gateway = |via: Option<&str>| via.map(|via| RouteAttribute::Gateway(RouteAddress::Inet(ip(via))));
        if let [(ifindex, via)] = hops {
            route.attributes.push(RouteAttribute::Oif(*ifindex));
            route.attributes.extend(gateway(*via));
            return route;
        }
        let hops = hops.iter().map(|(ifindex, via)| {
            let mut hop = RouteNextHop::default();
            hop.interface_index = *ifindex;
            hop.attributes.extend(gateway(*via));
            hop
        });
        route.attributes.push(RouteAttribute::MultiPath(hops.collect()));
        route
    }

    #[test]
    fn foreign_routes_elsewhere_and_connected_subnets_are_in_the_way() {
        let elsewhere = Some(Obstacle::Elsewhere { ifindex: Some(7), via: Some(ip("10.0.0.1")) });
        assert_eq!(obstacle(&message("10.1.0.0/16", 0, &[(7, Some("10.0.0.1"))]), 2), elsewhere);
        assert_eq!(obstacle(&message("10.1.0.0/16", 0, &[(2, None), (7, Some("10.0.0.1"))]), 2), elsewhere);
        // The kernel keeps routes of another metric beside ours.
        assert_eq!(obstacle(&message("10.1.0.0/16", 100, &[(7, Some("10.0.0.1"))]), 2), None);
        assert_eq!(obstacle(&message("10.1.0.0/16", 0, &[(2, Some("10.0.0.1"))]), 2), None);
        for ifindex in [2, 7] {
            let mut connected = message("10.1.0.0/16", 100, &[(ifindex, None)]);
            connected.header.scope = RouteScope::Link;
            assert_eq!(obstacle(&connected, 2), Some(Obstacle::Connected));
        }
    }

    #[test]
    fn a_multipath_route_counts_on_each_of_its_interfaces() {
        let route = message("0.0.0.0/0", 0, &[(2, Some("10.0.0.1")), (7, Some("10.7.0.1"))]);
        let on = |ifindex| describe_on(&route, ifindex).map(|route| route.gateway);
        assert_eq!((on(2), on(7), on(9)), (Some(Some(ip("10.0.0.1"))), Some(Some(ip("10.7.0.1"))), None));
    }

    #[test]
    fn the_configured_subnet_gateway_wins() {
        let routes = [route("10.1.0.0/16", Some("10.0.0.1"), false)];
        assert_eq!(subnet_gateway(Some(ip("10.0.0.254")), "eth0", &routes), Ok(ip("10.0.0.254")));
    }

    #[test]
    fn the_only_next_hop_of_foreign_routes_is_the_subnet_gateway() {
        let routes = [
            route("10.0.0.0/24", None, false),
            route("10.1.0.0/16", Some("10.0.0.1"), false),
            route("10.2.0.0/16", Some("10.0.0.1"), false),
            route("10.3.0.0/16", Some("10.0.0.9"), true),
        ];
        assert_eq!(subnet_gateway(None, "eth0", &routes), Ok(ip("10.0.0.1")));
    }

    #[test]
    fn an_unknown_or_ambiguous_subnet_gateway_says_how_to_give_it() {
        let none = subnet_gateway(None, "eth0", &[route("10.0.0.0/24", None, false)]).expect_err("unknown");
        assert!(none.to_string().contains("subnet_gateway"), "{none}");
        let two = [route("10.1.0.0/16", Some("10.0.0.1"), false), route("10.2.0.0/16", Some("10.0.0.2"), false)];
        let two = subnet_gateway(None, "eth0", &two).expect_err("ambiguous");
        assert!(two.to_string().contains("10.0.0.2"), "{two}");
    }
}
