//! `natgw detach`: the only command that removes a data plane, with the addresses and routes natgw added.

use std::{collections::BTreeMap, net::Ipv4Addr};

use crate::{
    cli::DetachArgs,
    core::plan::Actual,
    datapath::{self, GatewayPaths, Lock, Maps},
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
    if !paths.exists() {
        return Err(status::no_gateway(&paths));
    }
    let lock =
        Lock::try_acquire(&paths).map_err(|error| Failure::from_error(Exit::Preflight, &error))?.map_err(|holder| {
            Failure::new(
                Exit::LockHeld,
                format!("gateway `{}` is in use by {holder}; stop that daemon first, then detach", args.gateway),
            )
        })?;
    // Read before the maps go. A layout of another version does not keep anything from being removed.
    let maps = Maps::open(&paths).ok();
    let actual = maps.as_ref().and_then(|maps| maps.read_actual().ok()).unwrap_or_default();
    let ext_ifindex = maps.as_ref().and_then(|maps| maps.config().ok().flatten()).map(|config| config.ext_ifindex);
    drop(maps);
    // Addresses first: while the programs are attached no live connection is answered by the gateway's own stack. And
    // under the lock, which the removal of its directory gives up.
    let runtime = super::runtime()?;
    let (mut lines, mut failures) = runtime.block_on(remove_network(&ns, &actual, ext_ifindex));
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
        text.push_str(line);
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

/// Addresses and routes that carry natgw's mark, on any interface: the names may have been options of the daemon.
async fn remove_network(ns: &NetNs, actual: &Actual, ext_ifindex: Option<u32>) -> (Vec<String>, Vec<String>) {
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
        let former = !marks && Some(ifindex) == ext_ifindex && actual.eips.contains_key(&address.addr.octets());
        if address.ours || former {
            by_interface.entry(ifindex).or_default().push((address.addr, address.prefix_len));
        }
    }
    for (ifindex, addresses) in by_interface {
        let errors = netlink.remove_addresses(ifindex, &addresses).await;
        if errors.is_empty() {
            removed.extend(addresses.iter().map(|(addr, len)| format!("address {addr}/{len}")));
        }
        failures.extend(errors.iter().map(ToString::to_string));
    }
    match netlink.all_our_routes().await {
        Ok(routes) => {
            for (ifindex, route) in routes {
                match netlink.remove_route(ifindex, route).await {
                    Ok(()) => removed.push(format!("route {} via {}", route.0, route.1)),
                    Err(error) => failures.push(error.to_string()),
                }
            }
        }
        Err(error) => failures.push(error.to_string()),
    }
    (removed, failures)
}
