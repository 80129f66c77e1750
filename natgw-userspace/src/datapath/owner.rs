//! Whose program is it? A program belongs to the gateway whose `CONFIG` map it uses.

use aya::{
    maps::MapInfo,
    programs::{ProgramInfo, loaded_programs},
};
use natgw_common::abi::map;

use super::{
    attach::Hook,
    pins::{GatewayPaths, Generation},
};

/// The name of the gateway other than `ours`, pinned on the same bpffs, that this program works for. Programs of no
/// pinned gateway (somebody emptied the bpffs under them, or they are not natgw's) have no owner: ours may replace
/// them, or live beside them.
pub(super) fn other_gateway(ours: &GatewayPaths, program_id: u32) -> Option<String> {
    let others = GatewayPaths::list(ours.bpffs()).ok()?;
    let others: Vec<_> = others.into_iter().filter(|other| other.gateway() != ours.gateway()).collect();
    if others.is_empty() {
        return None;
    }
    let maps = info(program_id)?.map_ids().ok()??;
    // While a gateway migrates its programs may still use the maps it leaves behind.
    let uses = |gateway: &&GatewayPaths| {
        Generation::ALL.iter().any(|generation| {
            let config = gateway.of(*generation).map(map::CONFIG);
            MapInfo::from_pin(config).is_ok_and(|config| maps.contains(&config.id()))
        })
    };
    others.iter().find(uses).map(|gateway| gateway.gateway().to_owned())
}

/// Kernel ids of this gateway's loaded hook programs. With no daemon running these are the attached ones, in whichever
/// network namespace.
pub(super) fn hook_programs(ours: &GatewayPaths) -> Vec<u32> {
    let Ok(config) = MapInfo::from_pin(ours.map(map::CONFIG)) else { return Vec::new() };
    let is_ours = |info: &ProgramInfo| {
        let named = info.name_as_str().is_some_and(|name| Hook::ALL.iter().any(|hook| hook.program() == name));
        named && info.map_ids().ok().flatten().is_some_and(|maps| maps.contains(&config.id()))
    };
    loaded_programs().filter_map(Result::ok).filter(is_ours).map(|info| info.id()).collect()
}

fn info(program_id: u32) -> Option<ProgramInfo> {
    loaded_programs().filter_map(Result::ok).find(|info| info.id() == program_id)
}
