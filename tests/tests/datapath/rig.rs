//! A bpffs, a namespace with the two interfaces, and shortcuts for what every test does.

use std::{collections::BTreeMap, fs, path::PathBuf};

use aya::{
    maps::MapInfo,
    programs::{SchedClassifier, TcAttachType},
};
use natgw_common::abi::Config;
use natgw_tests::{Netns, Scratch};
use natgw_userspace::datapath::{
    AttachMode, Attached, Datapath, GatewayPaths, Hook, LoadError, LoadOptions, LoadReport, Lock, Side,
};

/// Session capacity of the tests: creation is quick, and full tables are reachable.
pub(crate) const SESSIONS: u32 = 4096;

pub(crate) struct Rig {
    pub(crate) scratch: Scratch,
    pub(crate) ns: Netns,
    pub(crate) paths: GatewayPaths,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new();
        let ns = Netns::new("gw");
        ns.ip(&["link add eth0 type veth peer name eth0p".into(), "link add net1 type veth peer name net1p".into()]);
        let paths = GatewayPaths::new(scratch.bpffs(), "gw.test").unwrap();
        Self { scratch, ns, paths }
    }

    pub(crate) fn lock(&self) -> Lock {
        Lock::try_acquire(&self.paths).unwrap().unwrap_or_else(|holder| panic!("held by {holder}"))
    }

    pub(crate) fn load(&self, lock: &Lock) -> Result<(Datapath, LoadReport), LoadError> {
        load(&self.paths, lock)
    }

    /// Everything a daemon does before it reads rules.
    pub(crate) fn start(&self, mode: AttachMode) -> Started {
        let lock = self.lock();
        let (mut datapath, report) = self.load(&lock).unwrap();
        configure(&self.ns, &mut datapath);
        let internal = attach(&self.ns, &mut datapath, Side::Internal, mode);
        let external = attach(&self.ns, &mut datapath, Side::External, mode);
        Started { datapath, report, internal, external, _lock: lock }
    }

    /// Kernel ids of all pinned maps.
    pub(crate) fn map_ids(&self) -> BTreeMap<String, u32> {
        pins(self.paths.maps()).into_iter().map(|(name, path)| (name, MapInfo::from_pin(path).unwrap().id())).collect()
    }

    /// The names of our programs at each hook, TCX chain and clsact filters together.
    pub(crate) fn attached(&self) -> BTreeMap<&'static str, Vec<String>> {
        attached(&self.ns)
    }

    pub(crate) fn tcx_ids(&self, interface: &str, direction: TcAttachType) -> Vec<u32> {
        tcx(&self.ns, interface, direction).into_iter().map(|(id, _)| id).collect()
    }
}

/// A running data path; dropping it is a daemon that ended.
pub(crate) struct Started {
    pub(crate) datapath: Datapath,
    pub(crate) report: LoadReport,
    pub(crate) internal: Attached,
    pub(crate) external: Attached,
    _lock: Lock,
}

pub(crate) fn load(paths: &GatewayPaths, lock: &Lock) -> Result<(Datapath, LoadReport), LoadError> {
    Datapath::load(paths, lock, &LoadOptions { max_sessions: SESSIONS, object: None })
}

pub(crate) fn ifindex(ns: &Netns, name: &str) -> u32 {
    ns.run(|| nix::net::if_::if_nametoindex(name).unwrap())
}

pub(crate) fn configure(ns: &Netns, datapath: &mut Datapath) {
    let (internal, external) = (ifindex(ns, "eth0"), ifindex(ns, "net1"));
    let set = |config: &mut Config| {
        config.int_ifindex = internal;
        config.ext_ifindex = external;
    };
    datapath.maps().update_config(set).unwrap();
}

pub(crate) fn interface(side: Side) -> &'static str {
    match side {
        Side::Internal => "eth0",
        Side::External => "net1",
    }
}

pub(crate) fn attach(ns: &Netns, datapath: &mut Datapath, side: Side, mode: AttachMode) -> Attached {
    let name = interface(side);
    let index = ifindex(ns, name);
    ns.run(|| datapath.attach(side, index, name, mode)).unwrap()
}

/// The files of a pin directory by name; none when it does not exist.
pub(crate) fn pins(directory: PathBuf) -> BTreeMap<String, PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return BTreeMap::new() };
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), entry.path())
        })
        .collect()
}

/// Id and name of the programs in a TCX chain.
pub(crate) fn tcx(ns: &Netns, interface: &str, direction: TcAttachType) -> Vec<(u32, String)> {
    let (_, programs) = ns.run(|| SchedClassifier::query_tcx(interface, direction)).unwrap();
    programs.iter().map(|info| (info.id(), info.name_as_str().unwrap_or_default().to_owned())).collect()
}

/// The programs of clsact filters.
pub(crate) fn clsact(ns: &Netns, interface: &str, direction: &str) -> Vec<String> {
    let text = ns.command("tc", &["filter", "show", "dev", interface, direction]);
    // `filter protocol all pref 49000 bpf chain 0 handle 0x1 natgw_ext_in direct-action ... name natgw_ext_in ...`
    let name = |line: &str| line.split_whitespace().find(|word| word.starts_with("natgw_")).map(str::to_owned);
    text.lines().filter_map(name).collect()
}

pub(crate) fn attached(ns: &Netns) -> BTreeMap<&'static str, Vec<String>> {
    let places = [
        (Hook::IntIn, "eth0", TcAttachType::Ingress, "ingress"),
        (Hook::ExtIn, "net1", TcAttachType::Ingress, "ingress"),
        (Hook::ExtOut, "net1", TcAttachType::Egress, "egress"),
    ];
    places
        .into_iter()
        .map(|(hook, interface, direction, word)| {
            let names = tcx(ns, interface, direction).into_iter().map(|(_, name)| format!("tcx {name}"));
            let filters = clsact(ns, interface, word).into_iter().map(|name| format!("clsact {name}"));
            (hook.name(), names.chain(filters).collect())
        })
        .collect()
}

/// What [`attached`] must say when each hook has its program once.
pub(crate) fn once(how: &str) -> BTreeMap<&'static str, Vec<String>> {
    Hook::ALL.into_iter().map(|hook| (hook.name(), vec![format!("{how} {}", hook.program())])).collect()
}

/// What [`attached`] must say when nothing is attached.
pub(crate) fn nowhere() -> BTreeMap<&'static str, Vec<String>> {
    Hook::ALL.into_iter().map(|hook| (hook.name(), Vec::new())).collect()
}
