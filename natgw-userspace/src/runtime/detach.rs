//! `natgw detach`: the only command that removes a data plane, with the addresses and routes natgw added.
//!
//! The marks on addresses and routes are natgw's, not a gateway's. So only this gateway's interfaces are looked at, and
//! elsewhere only its EIPs; an interface on which another gateway works is never touched.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    path::Path,
    thread,
    time::Duration,
};

use crate::{
    cli::DetachArgs,
    core::{plan::Actual, printable::printable},
    datapath::{self, GatewayPaths, Lock, Maps, attached_elsewhere, attachments, other_gateway_on},
    exit::{Exit, Failure},
    net::{NetNs, addresses::kernel_marks_addresses, netlink::Netlink, sysctl},
    status,
};

/// Removes the data plane of a gateway.
///
/// # Errors
/// A daemon holds the lock, or something could not be removed; the rest was.
pub fn detach(args: &DetachArgs) -> Result<Exit, Failure> {
    let paths =
        GatewayPaths::new(&args.bpffs, &args.gateway).map_err(|error| Failure::from_error(Exit::Usage, &error))?;
    let ns = NetNs::from_option(args.netns.as_deref()).map_err(|error| Failure::from_error(Exit::Usage, &error))?;
    if !paths.exists().map_err(|error| Failure::from_error(Exit::Preflight, &error))? {
        return Err(status::no_gateway(&paths));
    }
    let lock =
        Lock::try_acquire(&paths).map_err(|error| Failure::from_error(Exit::Preflight, &error))?.map_err(|holder| {
            Failure::new(
                Exit::LockHeld,
                format!("gateway `{}` is in use by {holder}; stop that daemon first, then detach", args.gateway),
            )
        })?;
    check_namespace(args, &paths, &ns)?;
    // Read before the maps go. A layout of another version does not keep anything from being removed.
    let maps = Maps::open(&paths).ok();
    let actual = maps.as_ref().and_then(|maps| maps.read_actual().ok()).unwrap_or_default();
    let config = maps.as_ref().and_then(|maps| maps.config().ok().flatten());
    drop(maps);
    let mut interfaces: BTreeSet<u32> =
        config.iter().flat_map(|config| [config.int_ifindex, config.ext_ifindex]).filter(|index| *index != 0).collect();
    // Whatever cannot be read here is said when it is removed.
    let attached = ns.run(|| attachments(&paths)).ok().and_then(Result::ok).unwrap_or_default();
    interfaces.extend(attached.iter().filter(|one| !one.elsewhere).filter_map(|one| one.ifindex));
    let own = Own { paths: &paths, actual: &actual, external: config.map(|config| config.ext_ifindex), interfaces };
    // Addresses first: while the programs are attached no live connection is answered by the gateway's own stack. And
    // under the lock, which the removal of its directory gives up.
    let runtime = super::runtime()?;
    let (mut lines, mut failures) = runtime.block_on(remove_network(&ns, &own));
    match ns.run(|| datapath::detach(&paths, lock)) {
        Ok(Ok(report)) => lines.extend(report.removed),
        Ok(Err(error)) => {
            lines.extend(error.report.removed);
            failures.extend(error.failures);
        }
        Err(error) => failures.push(error.to_string()),
    }
    let mut text = String::new();
    for line in &lines {
        text.push_str("removed ");
        text.push_str(&printable(line));
        text.push('\n');
    }
    status::print(text.as_bytes())?;
    if failures.is_empty() {
        return Ok(Exit::Ok);
    }
    Err(Failure::new(
        Exit::Failure,
        format!("gateway `{}` was not removed completely: {}", args.gateway, failures.join("; ")),
    ))
}

/// How long a daemon that has just ended may still hold its programs.
const ENDING: Duration = Duration::from_secs(1);

/// Refuses when programs of the gateway are attached in another namespace: their pins would go, and filters of clsact
/// and the addresses stay there for good.
fn check_namespace(args: &DetachArgs, paths: &GatewayPaths, ns: &NetNs) -> Result<(), Failure> {
    let step = ENDING / 20;
    let mut waited = Duration::ZERO;
    loop {
        let elsewhere = ns
            .run(|| attached_elsewhere(paths))
            .map_err(|error| Failure::from_error(Exit::Usage, &error))?
            .map_err(|error| Failure::from_error(Exit::Failure, &error))?;
        if !elsewhere {
            return Ok(());
        }
        if waited >= ENDING {
            let here = args.netns.as_deref().map(Path::display);
            let here = here.map_or_else(|| "this one".to_owned(), |path| format!("`{path}`"));
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "gateway `{0}` works in another network namespace than {here}; nothing was removed: give its own \
                     with --netns (/run/netns/NAME, or /proc/PID/ns/net of a process inside)",
                    args.gateway
                ),
            ));
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the kernel does not tell when a dead process's programs are gone"
        )]
        thread::sleep(step);
        waited += step;
    }
}

/// What belongs to the gateway in this namespace.
struct Own<'a> {
    paths: &'a GatewayPaths,
    actual: &'a Actual,
    external: Option<u32>,
    /// Those it was configured for, and those that carry its programs.
    interfaces: BTreeSet<u32>,
}

impl Own<'_> {
    /// Those of `interfaces` on which another gateway works, and why of some it is not known.
    fn foreign(&self, ns: &NetNs, interfaces: &BTreeSet<u32>) -> (BTreeSet<u32>, Vec<String>) {
        let mut errors = Vec::new();
        let judge = |index: &u32| match other_gateway_on(self.paths, *index) {
            Ok(owner) => owner.is_some(),
            Err(error) => {
                errors.push(error.to_string());
                true
            }
        };
        match ns.run(|| interfaces.iter().copied().filter(judge).collect()) {
            Ok(foreign) => (foreign, errors),
            Err(error) => (interfaces.clone(), vec![error.to_string()]),
        }
    }
}

/// Removes the addresses and routes of the gateway that carry natgw's mark.
async fn remove_network(ns: &NetNs, own: &Own<'_>) -> (Vec<String>, Vec<String>) {
    let mut removed = Vec::new();
    let mut failures = Vec::new();
    let netlink = match Netlink::open(ns) {
        Ok(netlink) => netlink,
        Err(error) => return (removed, vec![error.to_string()]),
    };
    let marks = nix::sys::utsname::uname().is_ok_and(|name| kernel_marks_addresses(&name.release().to_string_lossy()));
    match ns.run(|| sysctl::ensure(&sysctl::removal_settings())) {
        Ok((_, errors)) => failures.extend(errors.iter().map(ToString::to_string)),
        Err(error) => failures.push(error.to_string()),
    }
    let addresses = match netlink.all_addresses().await {
        Ok(addresses) => addresses,
        Err(error) => return (removed, vec![error.to_string()]),
    };
    let mut by_interface: BTreeMap<u32, Vec<(Ipv4Addr, u8)>> = BTreeMap::new();
    for (ifindex, address) in addresses {
        let eip = own.actual.eips.contains_key(&address.addr.octets());
        let marked = address.ours && (eip || own.interfaces.contains(&ifindex));
        let former = !marks && Some(ifindex) == own.external && eip;
        if marked || former {
            by_interface.entry(ifindex).or_default().push((address.addr, address.prefix_len));
        }
    }
    let routes = netlink.all_our_routes().await.unwrap_or_else(|error| {
        failures.push(error.to_string());
        Vec::new()
    });
    let (foreign, errors) = own.foreign(ns, &by_interface.keys().chain(&own.interfaces).copied().collect());
    failures.extend(errors);
    for (ifindex, addresses) in by_interface.into_iter().filter(|(ifindex, _)| !foreign.contains(ifindex)) {
        let errors = netlink.remove_addresses(ifindex, &addresses).await;
        if errors.is_empty() {
            removed.extend(addresses.iter().map(|(addr, len)| format!("address {addr}/{len}")));
        }
        failures.extend(errors.iter().map(ToString::to_string));
    }
    let ours = |ifindex: u32| own.interfaces.contains(&ifindex) && !foreign.contains(&ifindex);
    for (ifindex, route) in routes.into_iter().filter(|(ifindex, _)| ours(*ifindex)) {
        match netlink.remove_route(ifindex, route).await {
            Ok(()) => removed.push(format!("route {} via {}", route.0, route.1)),
            Err(error) => failures.push(error.to_string()),
        }
    }
    (removed, failures)
}
