//! `natgw status`: everything about a gateway on one screen.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use natgw_common::abi::{ABI_VERSION, ConfigFlags, MAPS, map};
use serde::Serialize;

use super::{maps_failure, table};
use crate::{
    datapath::{self, Attachment, GatewayPaths, Hook, Lock, Maps, Mechanism, Unfinished},
    exit::{Exit, Failure},
    net::NetNs,
};

/// The state of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Overview {
    gateway: String,
    daemon: Daemon,
    abi_version: u32,
    /// An upgrade of the maps that is under way or was interrupted.
    upgrade: Option<&'static str>,
    config: Option<Settings>,
    interfaces: Vec<Interface>,
    hooks: Vec<HookState>,
    maps: Vec<Fill>,
    counters: BTreeMap<&'static str, Volume>,
    sessions: BTreeMap<&'static str, u64>,
    drops: BTreeMap<&'static str, Volume>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Daemon {
    running: bool,
    pid: Option<u32>,
    command: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Settings {
    redirect: bool,
    unmatched: &'static str,
    port_min: u16,
    port_max: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Interface {
    side: &'static str,
    ifindex: u32,
    /// `None`: no interface of that index in the namespace looked at.
    name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct HookState {
    hook: &'static str,
    /// `None`: nothing attached.
    mechanism: Option<&'static str>,
    ifindex: Option<u32>,
    /// The interface lies in another network namespace than the one looked at.
    elsewhere: bool,
    program_id: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Fill {
    map: &'static str,
    used: u64,
    max: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Volume {
    packets: u64,
    bytes: u64,
}

impl Overview {
    pub(super) fn collect(paths: &GatewayPaths, maps: &Maps, netns: Option<&Path>) -> Result<Self, Failure> {
        let fail = |error| maps_failure(&error);
        let ns = NetNs::from_option(netns).map_err(|error| Failure::from_error(Exit::Usage, &error))?;
        let config = maps.config().map_err(fail)?;
        let indexes = config.map_or([0; 2], |config| [config.int_ifindex, config.ext_ifindex]);
        let (names, attachments) = ns
            .run(|| (indexes.map(interface_name), datapath::attachments(paths)))
            .map_err(|error| Failure::from_error(Exit::Usage, &error))?;
        let attachments = attachments.map_err(|error| Failure::from_error(Exit::Failure, &error))?;
        let holder = Lock::holder(paths);
        let counters = maps.counters().map_err(fail)?;
        let volume = |traffic: natgw_common::abi::Traffic| Volume { packets: traffic.packets, bytes: traffic.bytes };
        let [internal, external] = names;
        Ok(Self {
            gateway: paths.gateway().to_owned(),
            daemon: Daemon {
                running: holder.is_some(),
                pid: holder.as_ref().and_then(|holder| holder.pid),
                command: holder.and_then(|holder| holder.command),
            },
            // `Maps::open` refuses any other.
            abi_version: ABI_VERSION,
            upgrade: Unfinished::find(paths).map(|unfinished| match unfinished {
                Unfinished::Preparing => "preparing",
                Unfinished::Committed => "committed",
            }),
            config: config.map(|config| Settings {
                redirect: config.has(ConfigFlags::Redirect),
                unmatched: if config.has(ConfigFlags::UnmatchedDrop) { "drop" } else { "forward" },
                port_min: config.port_min,
                port_max: config.port_max,
            }),
            interfaces: [("internal", indexes[0], internal), ("external", indexes[1], external)]
                .map(|(side, ifindex, name)| Interface { side, ifindex, name })
                .into(),
            hooks: Hook::ALL.iter().map(|hook| hook_state(*hook, &attachments)).collect(),
            maps: fill(maps)?,
            counters: counters.traffic.iter().map(|(counter, traffic)| (counter.name(), volume(*traffic))).collect(),
            sessions: counters.sessions.iter().map(|(stat, count)| (stat.name(), *count)).collect(),
            drops: counters
                .drops
                .iter()
                .filter(|(_, traffic)| traffic.packets > 0)
                .map(|(reason, traffic)| (reason.name(), volume(*traffic)))
                .collect(),
        })
    }

    pub(super) fn render(&self) -> String {
        let mut out = String::new();
        let daemon = match (self.daemon.running, self.daemon.pid) {
            (true, Some(pid)) => format!("running, pid {pid}"),
            (true, None) => "running in another PID namespace".to_owned(),
            (false, _) => "stopped; the data plane works without it".to_owned(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "gateway   {}\ndaemon    {daemon}\nabi       {}", self.gateway, self.abi_version);
        if let Some(upgrade) = self.upgrade {
            let next = if self.daemon.running { "under way" } else { "interrupted: the next `natgw run` settles it" };
            let _ = writeln!(out, "upgrade   maps of another layout, {upgrade}, {next}");
        }
        let _ = writeln!(out, "hooks     {}", self.mode());
        if let Some(config) = &self.config {
            let redirect = if config.redirect { "on" } else { "off" };
            let _ = writeln!(
                out,
                "config    redirect {redirect}, unmatched {}, ports {} to {}",
                config.unmatched, config.port_min, config.port_max
            );
        }
        out += "\n";
        out += &table::heading("Interfaces and programs");
        let text = |value: Option<u32>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let hooks = self.hooks.iter().map(|hook| {
            let interface = match hook.ifindex {
                _ if hook.elsewhere => "(other netns)",
                Some(ifindex) => self.name_of(ifindex).unwrap_or("-"),
                None => "-",
            };
            let mechanism = hook.mechanism.unwrap_or("not attached");
            vec![
                hook.hook.to_owned(),
                interface.to_owned(),
                text(hook.ifindex),
                mechanism.to_owned(),
                text(hook.program_id),
            ]
        });
        out += &table::columns(&["HOOK", "INTERFACE", "IFINDEX", "MODE", "PROGRAM ID"], hooks);
        out += "\n";
        out += &table::heading("Maps");
        let fills = self.maps.iter().map(|fill| vec![fill.map.to_owned(), fill.used.to_string(), fill.max.to_string()]);
        out += &table::columns(&["MAP", "USED", "MAX"], fills);
        out += "\n";
        out += &table::heading("Traffic");
        out += &volumes("COUNTER", &self.counters);
        out += "\n";
        out += &table::heading("Sessions");
        let stats = self.sessions.iter().map(|(name, count)| vec![(*name).to_owned(), count.to_string()]);
        out += &table::columns(&["EVENT", "COUNT"], stats);
        if !self.drops.is_empty() {
            out += "\n";
            out += &table::heading("Drops");
            out += &volumes("REASON", &self.drops);
        }
        out
    }

    fn name_of(&self, ifindex: u32) -> Option<&str> {
        self.interfaces.iter().find(|interface| interface.ifindex == ifindex)?.name.as_deref()
    }

    fn mode(&self) -> &'static str {
        let mut mechanisms: Vec<Option<&str>> = self.hooks.iter().map(|hook| hook.mechanism).collect();
        mechanisms.sort_unstable();
        mechanisms.dedup();
        match mechanisms.as_slice() {
            [Some("tcx")] => "tcx",
            [Some("clsact")] => "clsact (filters through netlink: this kernel has no TCX, or --attach clsact is set)",
            [None] => "none in this network namespace (--netns PATH looks in another)",
            _ => "incomplete, see below",
        }
    }
}

fn volumes(heading: &str, all: &BTreeMap<&'static str, Volume>) -> String {
    let rows =
        all.iter().map(|(name, volume)| vec![(*name).to_owned(), volume.packets.to_string(), volume.bytes.to_string()]);
    table::columns(&[heading, "PACKETS", "BYTES"], rows)
}

fn interface_name(ifindex: u32) -> Option<String> {
    nix::net::if_::if_indextoname(ifindex).ok().and_then(|name| name.into_string().ok())
}

fn hook_state(hook: Hook, attachments: &[Attachment]) -> HookState {
    let found = attachments.iter().find(|attachment| attachment.hook == hook);
    HookState {
        hook: hook.name(),
        // A pinned link whose interface is gone hooks nothing.
        mechanism: found.filter(|found| found.ifindex.is_some()).map(|found| match found.mechanism {
            Mechanism::Tcx => "tcx",
            Mechanism::Clsact => "clsact",
        }),
        ifindex: found.and_then(|found| found.ifindex),
        elsewhere: found.is_some_and(|found| found.elsewhere),
        program_id: found.map(|found| found.program_id),
    }
}

fn fill(maps: &Maps) -> Result<Vec<Fill>, Failure> {
    let fail = |error| maps_failure(&error);
    let actual = maps.read_actual().map_err(fail)?;
    let max = |name: &str| MAPS.iter().find(|spec| spec.name == name).map_or(0, |spec| spec.max_entries);
    let rules = [
        (map::EIPS, actual.eips.len()),
        (map::FIP_IN, actual.fip_in.len()),
        (map::FIP_OUT, actual.fip_out.len()),
        (map::DNAT, actual.dnat.len()),
        (map::SNAT, actual.snat.len()),
    ];
    let mut fills: Vec<Fill> =
        rules.iter().map(|(name, used)| Fill { map: name, used: *used as u64, max: max(name) }).collect();
    let sessions = maps.session_count().map_err(fail)?;
    fills.push(Fill { map: map::SESSIONS, used: sessions, max: maps.session_capacity() });
    Ok(fills)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overview() -> Overview {
        let hook = |hook: Hook, mechanism| HookState {
            hook: hook.name(),
            mechanism,
            ifindex: mechanism.map(|_| 3),
            elsewhere: false,
            program_id: mechanism.map(|_| 77),
        };
        Overview {
            gateway: "gw1".to_owned(),
            daemon: Daemon { running: true, pid: Some(42), command: None },
            abi_version: 1,
            upgrade: None,
            config: None,
            interfaces: vec![Interface { side: "external", ifindex: 3, name: Some("net1".to_owned()) }],
            hooks: Hook::ALL.map(|one| hook(one, Some("clsact"))).into(),
            maps: vec![Fill { map: "EIPS", used: 2, max: 16_384 }],
            counters: BTreeMap::from([("fip_in", Volume { packets: 5, bytes: 500 })]),
            sessions: BTreeMap::from([("created", 9)]),
            drops: BTreeMap::new(),
        }
    }

    #[test]
    fn the_daemon_and_the_hook_mode_are_said() {
        let text = overview().render();
        assert!(text.contains("running, pid 42"), "{text}");
        assert!(text.contains("hooks     clsact"), "{text}");
        assert!(text.contains("net1"), "{text}");
        assert!(!text.contains("Drops"), "no drop, no section: {text}");
        let stopped = Overview { daemon: Daemon { running: false, pid: None, command: None }, ..overview() };
        assert!(stopped.render().contains("stopped"));
    }

    #[test]
    fn a_missing_hook_is_visible() {
        let mut partial = overview();
        partial.hooks[0].mechanism = None;
        assert_eq!(partial.mode(), "incomplete, see below");
        assert!(partial.render().contains("not attached"));
    }

    #[test]
    fn a_link_in_another_namespace_is_attached_all_the_same() {
        let mut elsewhere = overview();
        for hook in &mut elsewhere.hooks {
            (hook.mechanism, hook.elsewhere) = (Some("tcx"), true);
        }
        let text = elsewhere.render();
        assert!(text.contains("hooks     tcx") && text.contains("(other netns)"), "{text}");
    }

    #[test]
    fn drops_are_listed_when_there_are_any() {
        let drops = BTreeMap::from([("no_port", Volume { packets: 1, bytes: 60 })]);
        let text = Overview { drops, ..overview() }.render();
        assert!(text.contains("Drops") && text.contains("no_port"), "{text}");
    }
}
