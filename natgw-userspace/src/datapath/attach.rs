//! Attachment: which program sits where, made so that it outlives the daemon and is replaced without a gap.
//!
//! * **TCX** (Linux 6.6): one pinned link per hook. The next daemon finds the pin and swaps the program behind the link
//!   (`bpf_link_update`). A link whose interface is gone, or lies in another network namespace, is detached and made
//!   anew. Interface indices repeat between namespaces, so the index a link reports is not enough: its id must be in
//!   the chain that the interface of *this* namespace has.
//! * **clsact** (`super::clsact`): older kernels, or when the operator asks for it.
//!
//! TCX programs of ours go first (`BPF_F_BEFORE`): translated packets are redirected and end the chain, everything else
//! gets `TC_ACT_UNSPEC` and is seen by the programs behind. Behind another program, one `TC_ACT_OK` of it would send
//! packets around the NAT. Who wants to see packets before the NAT attaches before ours, which a restart leaves so.
//!
//! Kills: a link that was made and not yet pinned vanishes with the process; a pinned one is adopted by the next start.
//! Of the two hooks of the external interface egress comes first: without it the kernel's ICMP errors about translated
//! packets would show internal addresses. When the mechanism changes, the new one is attached before the old one is
//! removed; for that moment, or after a kill in it, a packet that the first program leaves alone is judged twice with
//! the same result, and the next start removes the rest.

use std::{fs, io};

use aya::{
    Ebpf,
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType,
        links::{FdLink, LinkError, PinnedLink},
        tc::{SchedClassifierLink, TcAttachOptions},
    },
};
use aya_obj::generated::bpf_attach_type;
use natgw_common::abi::program;
use serde::Serialize;
use thiserror::Error;

use super::{clsact, loader::Datapath, maps::chain, owner, pins::GatewayPaths, raw};

/// One of the two interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The VPC's.
    Internal,
    /// The physical network's.
    External,
}

impl Side {
    /// Its hooks in the order in which they are attached.
    #[must_use]
    pub const fn hooks(self) -> &'static [Hook] {
        match self {
            Self::Internal => &[Hook::IntIn],
            Self::External => &[Hook::ExtOut, Hook::ExtIn],
        }
    }
}

/// One place where a program sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// Ingress of the internal interface.
    IntIn,
    /// Ingress of the external interface.
    ExtIn,
    /// Egress of the external interface.
    ExtOut,
}

impl Hook {
    /// Every hook.
    pub const ALL: [Self; 3] = [Self::IntIn, Self::ExtIn, Self::ExtOut];

    /// The name of its link's pin.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IntIn => "int_in",
            Self::ExtIn => "ext_in",
            Self::ExtOut => "ext_out",
        }
    }

    /// The program that sits there.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::IntIn => program::INT_IN,
            Self::ExtIn => program::EXT_IN,
            Self::ExtOut => program::EXT_OUT,
        }
    }

    pub(super) const fn direction(self) -> TcAttachType {
        match self {
            Self::IntIn | Self::ExtIn => TcAttachType::Ingress,
            Self::ExtOut => TcAttachType::Egress,
        }
    }

    const fn tcx(self) -> bpf_attach_type {
        match self {
            Self::IntIn | Self::ExtIn => bpf_attach_type::BPF_TCX_INGRESS,
            Self::ExtOut => bpf_attach_type::BPF_TCX_EGRESS,
        }
    }
}

/// How to attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AttachMode {
    /// TCX where the kernel has it, clsact otherwise.
    #[default]
    Auto,
    /// TCX or fail.
    Tcx,
    /// clsact filters through netlink.
    Clsact,
}

/// How a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// A TCX link.
    Tcx,
    /// A filter of the clsact qdisc.
    Clsact,
}

/// What attaching did to one hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing: this very program was attached already.
    Unchanged,
    /// The program of an earlier daemon was replaced in one step.
    Replaced,
    /// Nothing of ours was attached.
    Created,
}

/// The result of [`Datapath::attach`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// How.
    pub mechanism: Mechanism,
    /// What happened at each hook of the side.
    pub hooks: Vec<(Hook, Outcome)>,
    /// Why `Auto` did not use TCX.
    pub fallback: Option<String>,
}

/// An attachment as found in the kernel, for `natgw status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attachment {
    /// Where.
    pub hook: Hook,
    /// How.
    pub mechanism: Mechanism,
    /// Interface index; `None` when a pinned link's interface is gone.
    pub ifindex: Option<u32>,
    /// The interface lies in another network namespace than the caller's.
    pub elsewhere: bool,
    /// Kernel id of the program.
    pub program_id: u32,
}

/// A program could not be attached.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The name now belongs to another interface: wait for the next link event.
    #[error("interface `{interface}` was replaced while a program was being attached to it")]
    InterfaceChanged {
        /// Its name.
        interface: String,
    },
    /// Another gateway works on this interface.
    #[error(
        "interface `{interface}` already carries the programs of gateway `{owner}`: give each gateway its own \
         interfaces, or remove that one: natgw detach --gateway {owner}"
    )]
    Occupied {
        /// The interface.
        interface: String,
        /// The other gateway.
        owner: String,
    },
    /// The place of our filter is taken.
    #[error(
        "preference {preference} of clsact on interface `{interface}` is taken by the filter `{filter}`: remove it: \
         tc filter del dev {interface} {direction} pref {preference}"
    )]
    PlaceTaken {
        /// The interface.
        interface: String,
        /// Whose filter it is, by name.
        filter: String,
        /// `ingress` or `egress`.
        direction: &'static str,
        /// Preference of the filter.
        preference: u16,
    },
    /// The kernel refused to attach.
    #[error("cannot attach `{program}` to interface `{interface}`: {}", chain(.source))]
    Program {
        /// The program.
        program: &'static str,
        /// The interface.
        interface: String,
        /// What aya says.
        source: ProgramError,
    },
    /// A pinned link cannot be read, made or removed.
    #[error("cannot {action} the link {}: {source}", path.display())]
    Link {
        /// What was tried.
        action: &'static str,
        /// Its pin.
        path: std::path::PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The kernel does not tell what is attached.
    #[error("cannot read what is attached to interface index {ifindex}: {source}")]
    Query {
        /// The interface.
        ifindex: u32,
        /// Why not.
        source: io::Error,
    },
    /// The interfaces of this namespace cannot be listed.
    #[error("cannot list the interfaces of this network namespace: {0}")]
    Interfaces(#[source] io::Error),
}

impl AttachError {
    /// Whether the interface has just gone or been replaced: wait for its next event, nothing is wrong.
    #[must_use]
    pub fn is_interface_gone(&self) -> bool {
        match self {
            Self::InterfaceChanged { .. } => true,
            Self::Program { source, .. } => program_errno(source) == Some(libc::ENODEV),
            Self::Query { source, .. } | Self::Link { source, .. } => source.raw_os_error() == Some(libc::ENODEV),
            Self::Occupied { .. } | Self::PlaceTaken { .. } | Self::Interfaces(_) => false,
        }
    }
}

fn link_failed(action: &'static str, path: &std::path::Path) -> impl Fn(io::Error) -> AttachError {
    move |source| AttachError::Link { action, path: path.to_owned(), source }
}

/// The errno somewhere among the causes.
#[expect(clippy::wildcard_enum_match_arm, reason = "no other variant of aya's carries an errno of attaching")]
fn program_errno(error: &ProgramError) -> Option<i32> {
    use aya::programs::tc::TcError;
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        ProgramError::IOError(error) | ProgramError::TcError(TcError::IoError(error)) => error.raw_os_error(),
        ProgramError::NetlinkError(error) | ProgramError::TcError(TcError::NetlinkError(error)) => error.raw_os_error(),
        _ => None,
    }
}

/// One interface of the calling thread's network namespace.
#[derive(Debug, Clone, Copy)]
struct Interface<'a> {
    ifindex: u32,
    name: &'a str,
}

impl Interface<'_> {
    fn program_failed(self, program: &'static str) -> impl Fn(ProgramError) -> AttachError {
        move |source| AttachError::Program { program, interface: self.name.to_owned(), source }
    }

    /// aya takes names. Whether the name still means the index we were told is checked before and, since it may change
    /// in between, by what the new link reports after.
    fn check(self) -> Result<(), AttachError> {
        match nix::net::if_::if_nametoindex(self.name) {
            Ok(now) if now == self.ifindex => Ok(()),
            Ok(_) | Err(_) => Err(AttachError::InterfaceChanged { interface: self.name.to_owned() }),
        }
    }
}

impl Datapath {
    /// Attaches the programs of `side` to the interface `name` with index `ifindex`. Runs inside the target network
    /// namespace. Idempotent: call it at start, when the interface (re)appears, and as the periodic check. The
    /// configuration should hold the interface's index before.
    ///
    /// # Errors
    /// The interface is gone or has another index ([`AttachError::is_interface_gone`]), or the kernel refuses.
    pub fn attach(&mut self, side: Side, ifindex: u32, name: &str, mode: AttachMode) -> Result<Attached, AttachError> {
        let interface = Interface { ifindex, name };
        interface.check()?;
        let Self { ebpf, paths, .. } = self;
        let fallback = match mode {
            AttachMode::Clsact => None,
            AttachMode::Auto | AttachMode::Tcx => match attach_tcx(ebpf, paths, side, interface) {
                Ok(hooks) => {
                    for hook in side.hooks() {
                        remove_filter(paths, *hook, interface)?;
                    }
                    return Ok(Attached { mechanism: Mechanism::Tcx, hooks, fallback: None });
                }
                Err(error) if mode == AttachMode::Auto && tcx_unsupported(&error) => Some(error.to_string()),
                Err(error) => return Err(error),
            },
        };
        let hooks = attach_clsact(ebpf, paths, side, interface)?;
        for hook in side.hooks() {
            remove_link(paths, *hook)?;
        }
        Ok(Attached { mechanism: Mechanism::Clsact, hooks, fallback })
    }
}

fn loaded<'a>(
    ebpf: &'a mut Ebpf,
    hook: Hook,
    interface: Interface<'_>,
) -> Result<&'a mut SchedClassifier, AttachError> {
    let failed = interface.program_failed(hook.program());
    let program = ebpf.program_mut(hook.program()).ok_or_else(|| failed(ProgramError::NotLoaded))?;
    program.try_into().map_err(failed)
}

/// A kernel without TCX knows neither the attach type (`EINVAL`) nor, built without `NET_XGRESS`, the operation.
fn tcx_unsupported(error: &AttachError) -> bool {
    let errno = match error {
        AttachError::Program { source, .. } => program_errno(source),
        AttachError::Query { source, .. } => source.raw_os_error(),
        AttachError::InterfaceChanged { .. }
        | AttachError::Occupied { .. }
        | AttachError::PlaceTaken { .. }
        | AttachError::Link { .. }
        | AttachError::Interfaces(_) => None,
    };
    matches!(errno, Some(libc::EINVAL | libc::EOPNOTSUPP))
}

fn attach_tcx(
    ebpf: &mut Ebpf,
    paths: &GatewayPaths,
    side: Side,
    interface: Interface<'_>,
) -> Result<Vec<(Hook, Outcome)>, AttachError> {
    side.hooks()
        .iter()
        .map(|hook| {
            let program = loaded(ebpf, *hook, interface)?;
            Ok((*hook, tcx_hook(program, paths, *hook, interface)?))
        })
        .collect()
}

fn tcx_hook(
    program: &mut SchedClassifier,
    paths: &GatewayPaths,
    hook: Hook,
    interface: Interface<'_>,
) -> Result<Outcome, AttachError> {
    let Interface { ifindex, name } = interface;
    let path = paths.link(hook);
    let failed = interface.program_failed(hook.program());
    if let Some(link) = live_link(paths, hook, ifindex)? {
        if link.program_id == program.info().map_err(&failed)?.id() {
            return Ok(Outcome::Unchanged);
        }
        match update(program, &path) {
            Ok(()) => return Ok(Outcome::Replaced),
            // The interface went between the two calls.
            Err(_) if live_link(paths, hook, ifindex)?.is_none() => {}
            Err(error) => return Err(failed(error)),
        }
    }
    remove_link(paths, hook)?;
    let entries = raw::tcx_chain(ifindex, hook.tcx()).map_err(|source| AttachError::Query { ifindex, source })?;
    for entry in entries {
        if let Some(owner) = owner::other_gateway(paths, entry.program_id) {
            return Err(AttachError::Occupied { interface: name.to_owned(), owner });
        }
    }
    if let Some(owner) = find_filter(hook, ifindex)?.and_then(|filter| owner::other_gateway(paths, filter.program_id)) {
        return Err(AttachError::Occupied { interface: name.to_owned(), owner });
    }
    let id = program
        .attach_with_options(name, hook.direction(), TcAttachOptions::TcxOrder(LinkOrder::first()))
        .map_err(&failed)?;
    let link: FdLink = program.take_link(id).map_err(&failed)?.try_into().map_err(|error| failed(link_error(error)))?;
    link.pin(&path).map_err(|error| link_failed("pin", &path)(io::Error::other(chain(&error))))?;
    if live_link(paths, hook, ifindex)?.is_none() {
        remove_link(paths, hook)?;
        return Err(AttachError::InterfaceChanged { interface: name.to_owned() });
    }
    Ok(Outcome::Created)
}

/// The pinned link of `hook`, if it is attached to interface `ifindex` of this namespace.
fn live_link(paths: &GatewayPaths, hook: Hook, ifindex: u32) -> Result<Option<raw::TcxLink>, AttachError> {
    let path = paths.link(hook);
    let link = match raw::pinned_tcx_link(&path) {
        Ok(Some(link)) => link,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(link_failed("read", &path)(error)),
    };
    if link.ifindex != ifindex || link.attach_type != hook.tcx() as u32 {
        return Ok(None);
    }
    let chain = match raw::tcx_chain(ifindex, hook.tcx()) {
        Ok(chain) => chain,
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(None),
        Err(source) => return Err(AttachError::Query { ifindex, source }),
    };
    Ok(chain.iter().any(|entry| entry.link_id == link.id).then_some(link))
}

/// Swaps the program behind the pinned link. The pin holds the link: dropping our descriptor of it is harmless.
fn update(program: &mut SchedClassifier, path: &std::path::Path) -> Result<(), ProgramError> {
    let pinned = PinnedLink::from_pin(path).map_err(link_error)?;
    let link: SchedClassifierLink = FdLink::from(pinned).try_into().map_err(link_error)?;
    let id = program.attach_to_link(link)?;
    program.take_link(id).map(drop)
}

fn link_error(error: LinkError) -> ProgramError {
    match error {
        LinkError::SyscallError(error) => error.into(),
        LinkError::InvalidLink | LinkError::UnknownLinkType(_) => ProgramError::IOError(io::Error::other(error)),
    }
}

fn attach_clsact(
    ebpf: &mut Ebpf,
    paths: &GatewayPaths,
    side: Side,
    interface: Interface<'_>,
) -> Result<Vec<(Hook, Outcome)>, AttachError> {
    side.hooks()
        .iter()
        .map(|hook| {
            let program = loaded(ebpf, *hook, interface)?;
            Ok((*hook, clsact_hook(program, paths, *hook, interface)?))
        })
        .collect()
}

fn clsact_hook(
    program: &mut SchedClassifier,
    paths: &GatewayPaths,
    hook: Hook,
    interface: Interface<'_>,
) -> Result<Outcome, AttachError> {
    let failed = interface.program_failed(hook.program());
    let there = find_filter(hook, interface.ifindex)?;
    if let Some(filter) = &there {
        if filter.name != hook.program() {
            return Err(AttachError::PlaceTaken {
                interface: interface.name.to_owned(),
                filter: filter.name.clone(),
                direction: if hook.direction() == TcAttachType::Egress { "egress" } else { "ingress" },
                preference: clsact::PREFERENCE,
            });
        }
        if filter.program_id == program.info().map_err(&failed)?.id() {
            return Ok(Outcome::Unchanged);
        }
        if let Some(owner) = owner::other_gateway(paths, filter.program_id) {
            return Err(AttachError::Occupied { interface: interface.name.to_owned(), owner });
        }
    } else if let Some(owner) = occupant(paths, hook, interface.ifindex)? {
        return Err(AttachError::Occupied { interface: interface.name.to_owned(), owner });
    }
    clsact::put(program, interface.name, hook.direction(), there.is_some()).map_err(failed)?;
    Ok(if there.is_some() { Outcome::Replaced } else { Outcome::Created })
}

fn find_filter(hook: Hook, ifindex: u32) -> Result<Option<clsact::Filter>, AttachError> {
    clsact::find(ifindex, hook.direction()).map_err(|source| AttachError::Query { ifindex, source })
}

/// The other gateway whose program sits at `hook`'s place of an interface, by TCX or clsact.
fn occupant(paths: &GatewayPaths, hook: Hook, ifindex: u32) -> Result<Option<String>, AttachError> {
    let chain = match raw::tcx_chain(ifindex, hook.tcx()) {
        Ok(chain) => chain,
        // A kernel without TCX, or no such interface: nothing is attached that way.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ENODEV)) => {
            Vec::new()
        }
        Err(source) => return Err(AttachError::Query { ifindex, source }),
    };
    let filter = find_filter(hook, ifindex)?.map(|filter| filter.program_id);
    let programs = chain.iter().map(|entry| entry.program_id).chain(filter);
    Ok(programs.filter_map(|id| owner::other_gateway(paths, id)).next())
}

/// The other gateway, pinned on the same bpffs, that works on interface `ifindex` of this namespace.
///
/// # Errors
/// The kernel refuses to tell.
pub fn other_gateway_on(paths: &GatewayPaths, ifindex: u32) -> Result<Option<String>, AttachError> {
    for hook in Hook::ALL {
        if let Some(owner) = occupant(paths, hook, ifindex)? {
            return Ok(Some(owner));
        }
    }
    Ok(None)
}

/// Removes the filter of `hook` if it is there and not another gateway's. Says whether it did.
fn remove_filter(paths: &GatewayPaths, hook: Hook, interface: Interface<'_>) -> Result<bool, AttachError> {
    let Some(filter) = find_filter(hook, interface.ifindex)? else { return Ok(false) };
    if filter.name != hook.program() || owner::other_gateway(paths, filter.program_id).is_some() {
        return Ok(false);
    }
    clsact::remove(interface.name, hook.direction()).map_err(interface.program_failed(hook.program()))?;
    Ok(true)
}

/// Detaches and unpins the link of `hook`, wherever it is attached. Says whether there was one.
pub(super) fn remove_link(paths: &GatewayPaths, hook: Hook) -> Result<bool, AttachError> {
    let path = paths.link(hook);
    match raw::detach_pinned_link(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        // Not a link, or one that cannot be detached: without its pin it is gone all the same.
        Err(error) => tracing::debug!(path = %path.display(), %error, "cannot detach the link before unpinning it"),
    }
    fs::remove_file(&path).map_err(link_failed("remove", &path))?;
    Ok(true)
}

/// The interfaces of this namespace that carry a filter of this gateway, with the hook.
pub(super) fn filters(paths: &GatewayPaths) -> Result<Vec<(Hook, u32, String, u32)>, AttachError> {
    let interfaces = nix::net::if_::if_nameindex().map_err(|errno| AttachError::Interfaces(errno.into()))?;
    let mut found = Vec::new();
    for interface in &interfaces {
        for hook in Hook::ALL {
            let Some(filter) = find_filter(hook, interface.index())? else { continue };
            if filter.name == hook.program() && owner::other_gateway(paths, filter.program_id).is_none() {
                let name = interface.name().to_string_lossy().into_owned();
                found.push((hook, interface.index(), name, filter.program_id));
            }
        }
    }
    Ok(found)
}

/// Removes every filter of this gateway in this namespace; calls `done` for each that went.
pub(super) fn remove_filters(paths: &GatewayPaths, mut done: impl FnMut(Hook, &str, Result<(), AttachError>)) {
    match filters(paths) {
        Ok(found) => {
            for (hook, ifindex, name, _) in found {
                let interface = Interface { ifindex, name: &name };
                done(hook, &name, remove_filter(paths, hook, interface).map(drop));
            }
        }
        Err(error) => done(Hook::IntIn, "", Err(error)),
    }
}

/// What is attached now, TCX links and clsact filters. Runs inside the target network namespace; needs no daemon.
///
/// # Errors
/// The kernel refuses to tell.
pub fn attachments(paths: &GatewayPaths) -> Result<Vec<Attachment>, AttachError> {
    let mut found = Vec::new();
    for hook in Hook::ALL {
        let path = paths.link(hook);
        let link = match raw::pinned_tcx_link(&path) {
            Ok(Some(link)) => link,
            Ok(None) => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(link_failed("read", &path)(error)),
        };
        let live = if link.ifindex == 0 { None } else { live_link(paths, hook, link.ifindex)? };
        found.push(Attachment {
            hook,
            mechanism: Mechanism::Tcx,
            ifindex: (link.ifindex != 0).then_some(link.ifindex),
            elsewhere: link.ifindex != 0 && live.is_none(),
            program_id: link.program_id,
        });
    }
    found.extend(filters(paths)?.into_iter().map(|(hook, ifindex, _, program_id)| Attachment {
        hook,
        mechanism: Mechanism::Clsact,
        ifindex: Some(ifindex),
        elsewhere: false,
        program_id,
    }));
    Ok(found)
}

/// Whether a program of this gateway is attached in another network namespace than this one. No daemon may run: what it
/// has loaded looks attached.
///
/// # Errors
/// The kernel refuses to tell.
pub fn attached_elsewhere(paths: &GatewayPaths) -> Result<bool, AttachError> {
    let here = attachments(paths)?;
    let seen = |id: &u32| here.iter().any(|attachment| attachment.program_id == *id);
    Ok(here.iter().any(|attachment| attachment.elsewhere) || !owner::hook_programs(paths).iter().all(seen))
}

#[cfg(test)]
mod tests;
