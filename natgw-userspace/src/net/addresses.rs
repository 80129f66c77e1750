//! Elastic IPs as addresses of the external interface.
//!
//! An EIP gets the prefix length of the connected subnet that contains it (another address of the interface, or the
//! configured one), else /32. natgw's addresses carry `IFA_PROTO` 157, so that only those are ever removed. A kernel
//! before 5.18 drops the mark: there, an address counts as ours when the caller knows it as a former EIP.
//!
//! Removing a primary address takes its secondaries along unless `promote_secondaries` is set, and the routes of the
//! interface with the last one; [`Netlink::remove_addresses`] sets the former and restores the latter.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink has dozens of kinds and grows; the few of interest are named"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use futures::TryStreamExt;
use rtnetlink::{
    AddressMessageBuilder,
    packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressMessage, AddressProtocol},
    },
};

use super::{
    PROTO_NATGW, Prefix,
    netlink::{Netlink, NetlinkError},
};

/// An IPv4 address as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelAddress {
    /// The address.
    pub addr: Ipv4Addr,
    /// Its prefix length.
    pub prefix_len: u8,
    /// Whether it carries natgw's mark.
    pub ours: bool,
}

/// What has to change on the external interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPlan {
    /// To add, with prefix length.
    pub add: Vec<(Ipv4Addr, u8)>,
    /// To remove, once the rules of the address are gone.
    pub remove: Vec<(Ipv4Addr, u8)>,
}

impl AddressPlan {
    /// Compares what the interface has with the EIPs it should have.
    ///
    /// `former` are addresses that were EIPs and are none any more; they only count when the kernel cannot mark ours.
    /// `subnets` are the configured external subnet and those of the cluster, for an interface that has no address of
    /// its own (noDefaultEIP) and for EIPs of other subnets.
    #[must_use]
    pub fn new(
        existing: &[KernelAddress],
        desired: &BTreeSet<Ipv4Addr>,
        former: &BTreeSet<Ipv4Addr>,
        subnets: &[Prefix],
    ) -> Self {
        let connected = connected_subnets(existing, subnets);
        let mut by_addr: BTreeMap<Ipv4Addr, Vec<KernelAddress>> = BTreeMap::new();
        for address in existing {
            by_addr.entry(address.addr).or_default().push(*address);
        }
        let mut plan = Self::default();
        for addr in desired {
            let present = by_addr.get(addr).map_or(&[][..], Vec::as_slice);
            // Somebody else's address serves as well and is none of our business.
            let foreign = present.iter().any(|address| !address.ours);
            let wanted = prefix_len_for(*addr, &connected);
            if !foreign && present.iter().all(|address| address.prefix_len != wanted) {
                plan.add.push((*addr, wanted));
            }
            // The connected subnet appeared after the EIP: make before break.
            plan.remove.extend(
                present
                    .iter()
                    .filter(|address| address.ours && (foreign || address.prefix_len != wanted))
                    .map(|address| (address.addr, address.prefix_len)),
            );
        }
        plan.remove.extend(
            existing
                .iter()
                .filter(|address| !desired.contains(&address.addr) && (address.ours || former.contains(&address.addr)))
                .map(|address| (address.addr, address.prefix_len)),
        );
        plan
    }
}

/// Subnets the interface is connected to, longest first. Ours count too: they keep their prefix when the foreign
/// address it was taken from goes away.
fn connected_subnets(existing: &[KernelAddress], configured: &[Prefix]) -> Vec<Prefix> {
    let known = existing.iter().map(|address| Prefix::containing(address.addr, address.prefix_len));
    let mut subnets: Vec<Prefix> =
        known.chain(configured.iter().copied()).filter(|subnet| subnet.prefix_len() < 32).collect();
    subnets.sort_by_key(|subnet| std::cmp::Reverse(subnet.prefix_len()));
    subnets.dedup();
    subnets
}

fn prefix_len_for(addr: Ipv4Addr, connected: &[Prefix]) -> u8 {
    connected.iter().find(|subnet| subnet.contains(addr)).map_or(32, |subnet| subnet.prefix_len())
}

/// Whether a kernel release (`uname -r`) keeps `IFA_PROTO`: it came with 5.18.
#[must_use]
pub fn kernel_marks_addresses(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 18)
}

impl Netlink {
    /// The IPv4 addresses of an interface, in the kernel's order.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn addresses(&self, ifindex: u32) -> Result<Vec<KernelAddress>, NetlinkError> {
        let mut all = self.all_addresses().await?;
        all.retain(|(index, _)| *index == ifindex);
        Ok(all.into_iter().map(|(_, address)| address).collect())
    }

    /// The IPv4 addresses of every interface, with its index.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn all_addresses(&self) -> Result<Vec<(u32, KernelAddress)>, NetlinkError> {
        let mut request = self.handle.address().get();
        request.message_mut().header.family = AddressFamily::Inet;
        let messages: Vec<AddressMessage> =
            request.execute().try_collect().await.map_err(|error| NetlinkError::new("list the addresses", &error))?;
        Ok(messages.iter().filter_map(|message| Some((message.header.index, describe(message)?))).collect())
    }

    /// Adds one address with natgw's mark. An address that is already there is success.
    ///
    /// # Errors
    /// When the kernel refuses; the error names the address.
    pub async fn add_address(&self, ifindex: u32, (addr, prefix_len): (Ipv4Addr, u8)) -> Result<(), NetlinkError> {
        let mut request = self.handle.address().add(ifindex, IpAddr::V4(addr), prefix_len);
        request.message_mut().attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(PROTO_NATGW)));
        match request.execute().await.map_err(|error| {
            NetlinkError::new(format!("add EIP address {addr}/{prefix_len} to interface index {ifindex}"), &error)
        }) {
            Err(error) if error.errno() == Some(libc::EEXIST) => Ok(()),
            other => other,
        }
    }

    /// Removes one address. An address that is not there is success. `promote_secondaries` must be set already.
    ///
    /// # Errors
    /// When the kernel refuses; the error names the address.
    pub async fn remove_address(&self, ifindex: u32, (addr, prefix_len): (Ipv4Addr, u8)) -> Result<(), NetlinkError> {
        let message = AddressMessageBuilder::<Ipv4Addr>::new().index(ifindex).address(addr, prefix_len).build();
        match self.handle.address().del(message).execute().await.map_err(|error| {
            NetlinkError::new(format!("remove address {addr}/{prefix_len} from interface index {ifindex}"), &error)
        }) {
            Err(error) if matches!(error.errno(), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) => Ok(()),
            other => other,
        }
    }

    /// Removes addresses one by one and puts back each route of the interface that went with them. Collects all errors.
    pub async fn remove_addresses(&self, ifindex: u32, addresses: &[(Ipv4Addr, u8)]) -> Vec<NetlinkError> {
        if addresses.is_empty() {
            return Vec::new();
        }
        let before = self.raw_routes(ifindex).await;
        let mut errors = Vec::new();
        for address in addresses {
            errors.extend(self.remove_address(ifindex, *address).await.err());
        }
        match before {
            Ok(before) => errors.extend(self.restore_routes(ifindex, before).await),
            Err(error) => errors.push(error),
        }
        errors
    }
}

fn describe(message: &AddressMessage) -> Option<KernelAddress> {
    let mut addr = None;
    let mut ours = false;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(IpAddr::V4(value)) => addr = Some(*value),
            AddressAttribute::Protocol(AddressProtocol::Other(PROTO_NATGW)) => ours = true,
            _ => {}
        }
    }
    Some(KernelAddress { addr: addr?, prefix_len: message.header.prefix_len, ours })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().expect("an address")
    }

    fn kernel(addr: &str, prefix_len: u8, ours: bool) -> KernelAddress {
        KernelAddress { addr: ip(addr), prefix_len, ours }
    }

    fn set(addrs: &[&str]) -> BTreeSet<Ipv4Addr> {
        addrs.iter().map(|addr| ip(addr)).collect()
    }

    fn plan(existing: &[KernelAddress], desired: &[&str], former: &[&str]) -> AddressPlan {
        AddressPlan::new(existing, &set(desired), &set(former), &[])
    }

    #[test]
    fn an_eip_takes_the_prefix_of_the_longest_connected_subnet() {
        let existing = [kernel("203.0.113.2", 24, false), kernel("203.0.113.130", 25, false)];
        let plan = plan(&existing, &["203.0.113.10", "203.0.113.200", "198.51.100.1"], &[]);
        assert_eq!(plan.add, [(ip("198.51.100.1"), 32), (ip("203.0.113.10"), 24), (ip("203.0.113.200"), 25)]);
        assert!(plan.remove.is_empty());
    }

    #[test]
    fn without_any_address_the_configured_subnet_counts() {
        let subnets = ["203.0.113.0/24".parse().expect("prefix")];
        let plan = AddressPlan::new(&[], &set(&["203.0.113.10"]), &set(&[]), &subnets);
        assert_eq!(plan.add, [(ip("203.0.113.10"), 24)]);
    }

    #[test]
    fn nothing_changes_when_all_is_there() {
        let existing = [kernel("203.0.113.2", 24, false), kernel("203.0.113.10", 24, true)];
        assert_eq!(plan(&existing, &["203.0.113.10"], &[]), AddressPlan::default());
    }

    #[test]
    fn only_marked_or_former_addresses_are_removed() {
        let existing = [
            kernel("203.0.113.2", 24, false),
            kernel("203.0.113.10", 24, true),
            kernel("203.0.113.11", 24, false),
            kernel("203.0.113.12", 24, true),
        ];
        let plan = plan(&existing, &["203.0.113.12"], &["203.0.113.11"]);
        assert_eq!(plan.remove, [(ip("203.0.113.10"), 24), (ip("203.0.113.11"), 24)]);
        assert!(plan.add.is_empty());
    }

    #[test]
    fn an_eip_that_somebody_else_configured_is_left_alone() {
        let existing = [kernel("203.0.113.10", 16, false)];
        assert_eq!(plan(&existing, &["203.0.113.10"], &[]), AddressPlan::default());
    }

    #[test]
    fn a_subnet_that_appears_later_replaces_the_host_prefix() {
        let existing = [kernel("203.0.113.10", 32, true), kernel("203.0.113.2", 24, false)];
        let plan = plan(&existing, &["203.0.113.10"], &[]);
        assert_eq!(plan.add, [(ip("203.0.113.10"), 24)]);
        assert_eq!(plan.remove, [(ip("203.0.113.10"), 32)]);
    }

    #[test]
    fn eips_keep_their_prefix_when_the_foreign_address_goes() {
        let existing = [kernel("203.0.113.10", 24, true)];
        let plan = plan(&existing, &["203.0.113.10", "203.0.113.11"], &[]);
        assert_eq!(plan.add, [(ip("203.0.113.11"), 24)]);
        assert!(plan.remove.is_empty());
    }

    #[test]
    fn address_marks_came_with_kernel_5_18() {
        for release in ["5.18.0", "5.19-rc1", "6.1.0-13-amd64", "6.18.44"] {
            assert!(kernel_marks_addresses(release), "{release}");
        }
        for release in ["5.17.9", "5.10.0-28-amd64", "4.19.0", "", "x"] {
            assert!(!kernel_marks_addresses(release), "{release}");
        }
    }
}
