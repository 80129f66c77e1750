//! The variants of the network.

use super::Topology;

/// What the gateway's `net1` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum External {
    /// One end of a veth pair.
    Veth,
    /// A macvlan (bridge mode) on a NIC of the node, as multus makes it.
    Macvlan,
    /// A VLAN sub-interface (VID 100) on a NIC of the node; frames on the wire are tagged.
    Vlan,
    /// The NIC itself is in the gateway and carries tagged frames; `net1` is its VLAN sub-interface (VID 100).
    VlanInside,
}

/// How to build a [`Topology`].
#[derive(Debug, Clone, Copy)]
pub struct Builder {
    pub(super) external: External,
    pub(super) internal_mtu: u32,
    pub(super) external_mtu: u32,
    pub(super) router_mtu: u32,
    pub(super) far_mtu: u32,
    pub(super) offload: Offload,
    pub(super) interfaces: Interfaces,
}

/// Whether hosts leave checksums and segmentation to the (virtual) hardware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offload {
    /// As veth does by default: packets travel with `CHECKSUM_PARTIAL`, TCP in packets of up to 64 KiB.
    On,
    /// Every packet on the wire is complete and every receiver verifies its checksums.
    Off,
}

/// Whether the gateway has its interfaces from the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interfaces {
    /// Both.
    Present,
    /// `net1` is missing until [`Topology::plug_external`].
    ExternalLate,
}

impl Builder {
    /// veth everywhere, MTU 1500, offloads on.
    pub(super) const DEFAULT: Self = Self {
        external: External::Veth,
        internal_mtu: 1500,
        external_mtu: 1500,
        router_mtu: 1500,
        far_mtu: 1500,
        offload: Offload::On,
        interfaces: Interfaces::Present,
    };

    /// What `net1` is.
    #[must_use]
    pub const fn external(mut self, external: External) -> Self {
        self.external = external;
        self
    }

    /// MTU of the VPC subnet, the gateway's `eth0` included.
    #[must_use]
    pub const fn internal_mtu(mut self, mtu: u32) -> Self {
        self.internal_mtu = mtu;
        self
    }

    /// MTU of the external subnet, `net1` included.
    #[must_use]
    pub const fn external_mtu(mut self, mtu: u32) -> Self {
        self.external_mtu = mtu;
        self
    }

    /// MTU of the link behind the router.
    #[must_use]
    pub const fn router_mtu(mut self, mtu: u32) -> Self {
        self.router_mtu = mtu;
        self
    }

    /// MTU of the other VPC subnet.
    #[must_use]
    pub const fn far_mtu(mut self, mtu: u32) -> Self {
        self.far_mtu = mtu;
        self
    }

    /// Checksum and segmentation offload of every host.
    #[must_use]
    pub const fn offload(mut self, offload: Offload) -> Self {
        self.offload = offload;
        self
    }

    /// Whether `net1` is there from the beginning.
    #[must_use]
    pub const fn interfaces(mut self, interfaces: Interfaces) -> Self {
        self.interfaces = interfaces;
        self
    }

    /// Makes the namespaces, links, addresses and routes.
    ///
    /// # Panics
    /// When the machine refuses.
    #[must_use]
    pub fn build(self) -> Topology {
        Topology::build(self)
    }
}
