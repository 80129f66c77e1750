//! 1 to 2: the version that only the tests have (feature `abi-next`). Sessions say which version made them, and port
//! mappings have a zone in their key.

use natgw_common::abi::{MapKind, MapSpec, map};

use crate::datapath::migration::chain::{Entry, Fate, Step};

const fn spec(name: &'static str, kind: MapKind, sizes: (u32, u32), max_entries: u32, flags: u32) -> MapSpec {
    MapSpec { name, kind, key_size: sizes.0, value_size: sizes.1, max_entries, flags }
}

pub(super) const STEP: Step = Step {
    from: 1,
    maps: &[
        spec(map::ABI, MapKind::Array, (4, 872), 1, 0),
        spec(map::CONFIG, MapKind::Array, (4, 88), 1, 0),
        spec(map::EIPS, MapKind::Hash, (4, 4), 16_384, 0),
        spec(map::FIP_IN, MapKind::Hash, (4, 8), 16_384, 0),
        spec(map::FIP_OUT, MapKind::Hash, (4, 8), 16_384, 0),
        spec(map::DNAT, MapKind::Hash, (8, 8), 131_072, 0),
        spec(map::SNAT, MapKind::LpmTrie, (8, 68), 131_072, 1),
        spec(map::SESSIONS, MapKind::Hash, (16, 40), 1_048_576, 0),
        spec(map::FLOWS, MapKind::Hash, (16, 16), 1_048_576, 0),
        spec(map::COUNTERS, MapKind::PerCpuArray, (4, 16), 13, 0),
        spec(map::DROPS, MapKind::PerCpuArray, (4, 16), 14, 0),
        spec(map::SESSION_STATS, MapKind::PerCpuArray, (4, 8), 8, 0),
    ],
    hold_at: 80,
    convert,
};

fn convert(name: &str, entry: &mut Entry) -> Fate {
    if name == map::SESSIONS {
        // `made_by` stands in front.
        entry.value.splice(0..0, 1u64.to_ne_bytes());
    } else if name == map::DNAT {
        // `zone` too: there was only the one.
        entry.key.splice(0..0, [0; 4]);
    }
    Fate::Kept
}

#[cfg(test)]
mod tests {
    #[cfg(not(feature = "abi-next"))]
    use natgw_common::abi::{ABI_VERSION, MAPS};

    use super::*;

    fn converted(name: &str, key: &[u8], value: &[u8]) -> Entry {
        let mut entry = Entry { key: key.to_vec(), value: value.to_vec() };
        assert_eq!(convert(name, &mut entry), Fate::Kept);
        entry
    }

    #[test]
    fn golden_bytes_of_a_session() {
        let key: Vec<u8> = (1..=16).collect();
        let old: Vec<u8> = (100..140).collect();
        let new = converted(map::SESSIONS, &key, &old);
        assert_eq!(new.key, key);
        assert_eq!(new.value, [[1, 0, 0, 0, 0, 0, 0, 0].as_slice(), &old].concat());
    }

    #[test]
    fn golden_bytes_of_a_port_mapping() {
        let new = converted(map::DNAT, &[203, 0, 113, 1, 0, 80, 6, 0], &[10, 0, 0, 8, 0x1f, 0x90, 0, 0]);
        assert_eq!(new.key, [0, 0, 0, 0, 203, 0, 113, 1, 0, 80, 6, 0]);
        assert_eq!(new.value, [10, 0, 0, 8, 0x1f, 0x90, 0, 0]);
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for name in [map::CONFIG, map::EIPS, map::FIP_IN, map::FIP_OUT, map::SNAT, map::COUNTERS, map::DROPS] {
            assert_eq!(converted(name, &[1, 2], &[3, 4]), Entry { key: vec![1, 2], value: vec![3, 4] }, "{name}");
        }
    }

    #[test]
    #[cfg(not(feature = "abi-next"))]
    fn the_frozen_layouts_are_those_of_the_version_they_name() {
        assert_eq!(STEP.from, ABI_VERSION);
        // Capacity is no layout.
        let layouts =
            |maps: &[MapSpec]| maps.iter().map(|spec| MapSpec { max_entries: 0, ..*spec }).collect::<Vec<_>>();
        assert_eq!(layouts(STEP.maps), layouts(MAPS));
        assert_eq!(STEP.hold_at, std::mem::offset_of!(natgw_common::abi::Config, hold_until_ns));
    }
}
