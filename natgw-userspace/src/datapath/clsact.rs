//! The way to attach that every kernel has: a `bpf` filter of the clsact qdisc, made through netlink.
//!
//! Filters belong to the interface, not to a descriptor: they stay when the daemon ends and go with the interface.
//! Each hook has one filter with a fixed preference and handle, so that a later daemon finds it and replaces its
//! program in place (`RTM_NEWTFILTER` on an existing handle: `cls_bpf_change` swaps the program under RCU, no packet
//! passes between). Every function works in the calling thread's network namespace.

use std::{io, mem::ManuallyDrop};

use aya::programs::{
    ProgramError, SchedClassifier, TcAttachType,
    links::Link as _,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact},
};
use rtnetlink::{
    packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        tc::{TcAttribute, TcFilterBpfOption, TcHeader, TcMessage, TcOption},
    },
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

/// Our filters' preference: before the 49152 at which the kernel begins to number filters without one.
pub(super) const PREFERENCE: u16 = 49_000;
const HANDLE: TcHandle = TcHandle::new(0, 1);
/// `htons(ETH_P_ALL)`, the protocol aya gives its filters.
const ALL_PROTOCOLS: u32 = 0x0003u16.to_be() as u32;
/// `TC_H_CLSACT` with `TC_H_MIN_INGRESS` and `TC_H_MIN_EGRESS`.
const INGRESS: u32 = 0xffff_fff2;
const EGRESS: u32 = 0xffff_fff3;

/// A filter at our preference and handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    /// The name it was given: the program's.
    pub(super) name: String,
    /// Kernel id of its program.
    pub(super) program_id: u32,
}

fn parent(direction: TcAttachType) -> u32 {
    match direction {
        TcAttachType::Ingress => INGRESS,
        TcAttachType::Egress => EGRESS,
        TcAttachType::Custom(parent) => parent,
    }
}

/// The filter at our place on interface `ifindex`, if there is one.
pub(super) fn find(ifindex: u32, direction: TcAttachType) -> io::Result<Option<Filter>> {
    let header = TcHeader {
        index: i32::try_from(ifindex).map_err(io::Error::other)?,
        handle: u32::from(HANDLE).into(),
        parent: parent(direction).into(),
        info: u32::from(PREFERENCE) << 16 | ALL_PROTOCOLS,
        ..TcHeader::default()
    };
    let mut tc = TcMessage::default();
    tc.header = header;
    let mut netlink_header = NetlinkHeader::default();
    netlink_header.flags = NLM_F_REQUEST;
    let mut request =
        NetlinkMessage::new(netlink_header, NetlinkPayload::from(RouteNetlinkMessage::GetTrafficFilter(tc)));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);

    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&bytes, 0)?;
    let (answer, _kernel) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewTrafficFilter(filter)) = answer.payload {
        return Ok(describe(&filter));
    }
    let NetlinkPayload::Error(error) = answer.payload else {
        return Err(io::Error::other("unexpected answer to RTM_GETTFILTER"));
    };
    let error = error.to_io();
    match error.raw_os_error() {
        // No such filter; no clsact qdisc; no such interface.
        Some(libc::ENOENT | libc::EINVAL | libc::ENODEV) => Ok(None),
        _ => Err(error),
    }
}

fn describe(message: &TcMessage) -> Option<Filter> {
    let mut found = Filter { name: String::new(), program_id: 0 };
    for attribute in &message.attributes {
        let TcAttribute::Options(options) = attribute else { continue };
        for option in options {
            if let TcOption::Bpf(TcFilterBpfOption::ProgName(name)) = option {
                found.name.clone_from(name);
            } else if let TcOption::Bpf(TcFilterBpfOption::ProgId(id)) = option {
                found.program_id = *id;
            }
        }
    }
    (found.program_id != 0).then_some(found)
}

/// Puts `program` at our place: replaces the program of a filter that is there, or makes the filter and, before it,
/// the qdisc.
pub(super) fn put(
    program: &mut SchedClassifier,
    interface: &str,
    direction: TcAttachType,
    exists: bool,
) -> Result<(), ProgramError> {
    let id = if exists {
        let link = SchedClassifierLink::attached(interface, direction, PREFERENCE, HANDLE, None)?;
        program.attach_to_link(link)?
    } else {
        match qdisc_add_clsact(interface) {
            Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
            other => other?,
        }
        let options = NlOptions { priority: PREFERENCE, handle: HANDLE, classid: None };
        program.attach_with_options(interface, direction, TcAttachOptions::Netlink(options))?
    };
    // aya's link removes the filter when it is dropped, but the filter must outlive this process. The link is a few
    // numbers: no descriptor or memory is lost with it.
    let _stays = ManuallyDrop::new(program.take_link(id)?);
    Ok(())
}

/// Removes the filter at our place. The qdisc stays: others may have filters on it, now or later.
pub(super) fn remove(interface: &str, direction: TcAttachType) -> Result<(), ProgramError> {
    let link = SchedClassifierLink::attached(interface, direction, PREFERENCE, HANDLE, None)?;
    link.detach()
}
