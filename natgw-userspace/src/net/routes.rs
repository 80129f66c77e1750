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
        RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteType,
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
        let messages = self.dump_routes(ifindex).await?;
        Ok(messages.iter().map(describe).collect())
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

    /// Routes that the kernel did not make by itself, with everything needed to put them back.
    pub(super) async fn raw_routes(&self, ifindex: u32) -> Result<Vec<RouteMessage>, NetlinkError> {
        let mut routes = self.dump_routes(ifindex).await?;
        routes.retain(|route| route.header.protocol != RouteProtocol::Kernel);
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
        // Subnets before the next hops inside them.
        lost.sort_by_key(|route| gateway(route).is_some());
        let mut errors = Vec::new();
        for mut route in lost {
            let description = describe(&route);
            route
                .attributes
                .retain(|attribute| !matches!(attribute, RouteAttribute::CacheInfo(_) | RouteAttribute::PrefSource(_)));
            route.header.flags.remove(RouteFlags::Dead | RouteFlags::Linkdown);
            let mut outcome = self.handle.route().add(route.clone()).replace().execute().await;
            if outcome.is_err() && description.gateway.is_some() {
                route.header.flags.insert(RouteFlags::Onlink);
                outcome = self.handle.route().add(route).replace().execute().await;
            }
            let action = format!("restore route {} of the external interface", description.dest);
            errors.extend(outcome.map_err(|error| NetlinkError::new(action, &error)).err());
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

    async fn dump_routes(&self, ifindex: u32) -> Result<Vec<RouteMessage>, NetlinkError> {
        let mut routes = self.dump_main_table().await?;
        routes.retain(|route| oif(route) == Some(ifindex));
        Ok(routes)
    }

    async fn dump_main_table(&self) -> Result<Vec<RouteMessage>, NetlinkError> {
        let all = self.handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute();
        let wanted = all.try_filter(|route| {
            let main = route.header.table == RouteHeader::RT_TABLE_MAIN;
            std::future::ready(main && route.header.kind == RouteType::Unicast)
        });
        wanted.try_collect().await.map_err(|error| NetlinkError::new("list the routes", &error))
    }
}

fn oif(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

fn ours(ifindex: u32, dest: Prefix, via: Ipv4Addr) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(dest.network(), dest.prefix_len())
        .gateway(via)
        .output_interface(ifindex)
        .protocol(RouteProtocol::Other(PROTO_NATGW))
        .build()
}

type RouteIdentity = (Prefix, Option<Ipv4Addr>, u32);

fn identity(route: &RouteMessage) -> RouteIdentity {
    let priority = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Priority(value) => Some(*value),
        _ => None,
    });
    (describe(route).dest, gateway(route), priority.unwrap_or(0))
}

fn gateway(route: &RouteMessage) -> Option<Ipv4Addr> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(addr)) => Some(*addr),
        _ => None,
    })
}

fn describe(route: &RouteMessage) -> KernelRoute {
    let dest = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(addr)) => Some(*addr),
        _ => None,
    });
    // The default route has no destination attribute.
    let dest = Prefix::containing(dest.unwrap_or(Ipv4Addr::UNSPECIFIED), route.header.destination_prefix_length);
    let ours = route.header.protocol == RouteProtocol::Other(PROTO_NATGW);
    KernelRoute { dest, gateway: gateway(route), ours }
}

#[cfg(test)]
mod tests {
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
