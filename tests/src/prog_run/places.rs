//! The addresses that the rows use, and where the namespace of a [`super::Rig`] has them.

/// Hardware address of the internal interface.
pub const INT_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// Hardware address of the external interface.
pub const EXT_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];
/// Hardware address of everybody else.
pub const PEER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x99];

/// MTU of the internal interface.
pub const INT_MTU: usize = 1300;
/// MTU of the external interface.
pub const EXT_MTU: usize = 1400;

/// The gateway in the VPC; its subnet is 10.0.0.0/16.
pub const INT_ADDR: [u8; 4] = [10, 0, 0, 1];
/// The gateway outside; its subnet is 203.0.113.0/24.
pub const EXT_ADDR: [u8; 4] = [203, 0, 113, 1];
/// The router outside: the default route, its hardware address known.
pub const ROUTER: [u8; 4] = [203, 0, 113, 254];

/// Pods.
pub const POD: [u8; 4] = [10, 0, 0, 10];
/// Another pod.
pub const POD2: [u8; 4] = [10, 0, 0, 20];
/// A pod of the VPC's second subnet, 10.1.0.0/16, which is routed by the internal interface too.
pub const FAR_POD: [u8; 4] = [10, 1, 0, 10];

/// Elastic IPs.
pub const EIP: [u8; 4] = [203, 0, 113, 10];
/// Another one.
pub const EIP2: [u8; 4] = [203, 0, 113, 20];
/// A third one.
pub const EIP3: [u8; 4] = [203, 0, 113, 30];

/// A host behind the router.
pub const PEER: [u8; 4] = [198, 51, 100, 7];
/// Another one.
pub const PEER2: [u8; 4] = [198, 51, 100, 8];
/// A host on the external link whose hardware address is not known.
pub const NEIGHBOUR: [u8; 4] = [203, 0, 113, 77];
/// A host behind the gateway's third interface, which natgw has nothing to do with.
pub const ELSEWHERE: [u8; 4] = [192, 0, 2, 5];
/// A router on the way to a peer: the sender of ICMP errors.
pub const HOP: [u8; 4] = [198, 18, 0, 1];
/// A host that the gateway's routes say cannot be reached.
pub const NOWHERE: [u8; 4] = [198, 18, 99, 1];
