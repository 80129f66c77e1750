//! Whether the maps that are pinned are the maps this build works with.
//!
//! aya adopts any pin of the right name unchecked, and a program that uses a map of another layout reads garbage. So
//! each pinned map is compared with [`natgw_common::abi::MAPS`] before anything is loaded, and a difference refuses the
//! start: what is attached goes on forwarding with the maps it has. Only the capacity may differ, because a smaller or
//! larger table is as good, and replacing it would lose the sessions in it.

use std::{fmt, fs, io};

use aya::maps::MapInfo;
use natgw_common::abi::{ABI_VERSION, MAPS, MapSpec, map};
use thiserror::Error;

use super::{
    migration::Chain,
    pins::{GatewayPaths, PinError},
};

/// A pinned map as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundMap {
    /// Name of the pin.
    pub name: String,
    /// `enum bpf_map_type`; 0 when this build does not know the type, or the pin is no map.
    pub kind: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Capacity.
    pub max_entries: u32,
    /// Creation flags.
    pub flags: u32,
}

/// What about a map differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Property {
    /// `enum bpf_map_type`.
    Type,
    /// Bytes of a key.
    KeySize,
    /// Bytes of a value.
    ValueSize,
    /// Creation flags.
    Flags,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Type => "type",
            Self::KeySize => "key size",
            Self::ValueSize => "value size",
            Self::Flags => "flags",
        })
    }
}

/// One property of one map that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The map.
    pub map: &'static str,
    /// What differs.
    pub property: Property,
    /// What the kernel has.
    pub found: u32,
    /// What this build needs.
    pub expected: u32,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { map, property, found, expected } = self;
        write!(f, "map `{map}`: {property} is {found}, expected {expected}")
    }
}

/// The pinned data plane belongs to another version of natgw, or its pins cannot be read.
#[derive(Debug, Error)]
pub enum AbiError {
    /// The ABI record was written by another version.
    #[error(
        "cannot adopt the pinned maps of gateway `{gateway}`: map `{}`: version is {found}, expected {expected} \
         ({}); the data plane keeps running as it is: {}run the natgw it belongs to, or remove it together with its \
         sessions: natgw detach --gateway {gateway}",
        map::ABI,
        if found > expected { "made by a newer natgw" } else { "made by an older natgw" },
        if Chain::from(*found).is_some() { "`natgw run` of this version takes it over with its sessions; or " } else { "" }
    )]
    Version {
        /// The gateway.
        gateway: String,
        /// The record's version.
        found: u32,
        /// [`ABI_VERSION`].
        expected: u32,
    },
    /// An upgrade between two other versions was interrupted after its commit.
    #[error(
        "an upgrade of gateway `{gateway}` from version {from} to {to} of the maps was interrupted; the data plane keeps \
         running as it is: start the natgw of version {to} once, which finishes it, or remove the data plane together \
         with its sessions: natgw detach --gateway {gateway}"
    )]
    Unfinished {
        /// The gateway.
        gateway: String,
        /// The version left behind.
        from: u32,
        /// The version it went to.
        to: u32,
    },
    /// Maps of another layout.
    #[error(
        "cannot adopt the pinned maps of gateway `{gateway}`: {}; the data plane keeps running as it is: run the natgw \
         it belongs to, or remove it together with its sessions: natgw detach --gateway {gateway}",
        .mismatches.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Layout {
        /// The gateway.
        gateway: String,
        /// Everything that differs.
        mismatches: Vec<Mismatch>,
    },
    /// A pin cannot be read.
    #[error("cannot read the pinned map {}: {source}", path.display())]
    Unreadable {
        /// The pin.
        path: std::path::PathBuf,
        /// Why not.
        source: aya::maps::MapError,
    },
    /// The directory cannot be read.
    #[error(transparent)]
    Pin(#[from] PinError),
}

/// Pins that this build can work with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Adoption {
    /// Pinned and right.
    pub adopted: Vec<&'static str>,
    /// Not pinned.
    pub missing: Vec<&'static str>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// The maps this build needs, with the capacity the operator chose for the session tables.
#[must_use]
pub fn expected(max_sessions: u32) -> Vec<MapSpec> {
    let sized = |spec: &MapSpec| match spec.name {
        map::SESSIONS | map::FLOWS => MapSpec { max_entries: max_sessions, ..*spec },
        _ => *spec,
    };
    MAPS.iter().map(sized).collect()
}

/// Compares what is pinned with what is needed. `version` is the ABI record's, `None` when there is no record yet:
/// then a first start was interrupted, and the maps must speak for themselves.
///
/// # Errors
/// Another version or another layout.
pub fn compare(
    gateway: &str,
    found: &[FoundMap],
    expected: &[MapSpec],
    version: Option<u32>,
) -> Result<Adoption, AbiError> {
    if let Some(found) = version.filter(|version| *version != ABI_VERSION) {
        return Err(AbiError::Version { gateway: gateway.to_owned(), found, expected: ABI_VERSION });
    }
    layouts(gateway, found, expected, version.is_some())
}

/// [`compare`] for maps of whichever version. `complete`: all of them have been there once.
///
/// # Errors
/// Another layout.
pub fn layouts(gateway: &str, found: &[FoundMap], expected: &[MapSpec], complete: bool) -> Result<Adoption, AbiError> {
    let mut adoption = Adoption::default();
    let mut mismatches = Vec::new();
    for spec in expected {
        let Some(pinned) = found.iter().find(|pinned| pinned.name == spec.name) else {
            adoption.missing.push(spec.name);
            continue;
        };
        let before = mismatches.len();
        let properties = [
            (Property::Type, pinned.kind, spec.kind as u32),
            (Property::KeySize, pinned.key_size, spec.key_size),
            (Property::ValueSize, pinned.value_size, spec.value_size),
            (Property::Flags, pinned.flags, spec.flags),
        ];
        for (property, found, expected) in properties {
            if found != expected {
                mismatches.push(Mismatch { map: spec.name, property, found, expected });
            }
        }
        if mismatches.len() > before {
            continue;
        }
        if pinned.max_entries != spec.max_entries {
            adoption.warnings.push(format!(
                "pinned map `{}` holds {} entries, not the {} asked for; it is kept because of what is in it",
                spec.name, pinned.max_entries, spec.max_entries
            ));
        }
        adoption.adopted.push(spec.name);
    }
    if !mismatches.is_empty() {
        return Err(AbiError::Layout { gateway: gateway.to_owned(), mismatches });
    }
    if complete {
        adoption.warnings.extend(
            adoption.missing.iter().map(|name| format!("pinned map `{name}` had been removed; it is made anew, empty")),
        );
    }
    adoption.warnings.extend(
        found
            .iter()
            .filter(|pinned| expected.iter().all(|spec| spec.name != pinned.name))
            .map(|pinned| format!("`{}` is pinned among the maps and is not natgw's; it is left alone", pinned.name)),
    );
    Ok(adoption)
}

/// Describes every pin in the gateway's map directory, sorted by name.
///
/// # Errors
/// A pin with the name of one of natgw's maps cannot be read.
pub fn read_pins(paths: &GatewayPaths) -> Result<Vec<FoundMap>, AbiError> {
    let directory = paths.maps();
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(PinError::io("read", &directory)(error).into()),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(PinError::io("read", &directory))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        match MapInfo::from_pin(&path) {
            Ok(info) => found.push(FoundMap {
                name,
                kind: info.map_type().ok().and_then(|kind| u32::try_from(kind as isize).ok()).unwrap_or(0),
                key_size: info.key_size(),
                value_size: info.value_size(),
                max_entries: info.max_entries(),
                flags: info.map_flags(),
            }),
            Err(source) if MAPS.iter().any(|spec| spec.name == name) => {
                return Err(AbiError::Unreadable { path, source });
            }
            Err(_) => {
                found.push(FoundMap { name, kind: 0, key_size: 0, value_size: 0, max_entries: 0, flags: 0 });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use natgw_common::abi::MapKind;

    use super::*;

    fn pinned() -> Vec<FoundMap> {
        expected(1000)
            .into_iter()
            .map(|spec| FoundMap {
                name: spec.name.to_owned(),
                kind: spec.kind as u32,
                key_size: spec.key_size,
                value_size: spec.value_size,
                max_entries: spec.max_entries,
                flags: spec.flags,
            })
            .collect()
    }

    fn with(name: &str, change: impl FnOnce(&mut FoundMap)) -> Vec<FoundMap> {
        let mut maps = pinned();
        change(maps.iter_mut().find(|found| found.name == name).unwrap());
        maps
    }

    fn check(found: &[FoundMap]) -> Result<Adoption, AbiError> {
        compare("gw", found, &expected(1000), Some(ABI_VERSION))
    }

    #[test]
    fn the_same_layout_is_adopted_without_a_word() {
        let adoption = check(&pinned()).unwrap();
        assert_eq!(adoption.adopted.len(), MAPS.len());
        assert!(adoption.missing.is_empty() && adoption.warnings.is_empty(), "{adoption:?}");
    }

    #[test]
    fn nothing_pinned_means_everything_is_missing() {
        let adoption = compare("gw", &[], &expected(1000), None).unwrap();
        assert_eq!(adoption.missing.len(), MAPS.len());
        assert!(adoption.adopted.is_empty() && adoption.warnings.is_empty());
    }

    #[test]
    fn each_property_of_each_map_is_checked() {
        type Change = fn(&mut FoundMap);
        let changes: [(Property, Change); 4] = [
            (Property::Type, |found| found.kind += 100),
            (Property::KeySize, |found| found.key_size += 1),
            (Property::ValueSize, |found| found.value_size += 8),
            (Property::Flags, |found| found.flags ^= 1 << 7),
        ];
        for spec in MAPS {
            for (property, change) in changes {
                let error = check(&with(spec.name, change)).unwrap_err();
                let AbiError::Layout { mismatches, .. } = error else { panic!("{error}") };
                assert_eq!(mismatches.len(), 1);
                assert_eq!((mismatches[0].map, mismatches[0].property), (spec.name, property));
            }
        }
    }

    #[test]
    fn a_mismatch_names_gateway_map_property_both_values_and_the_way_out() {
        let text = check(&with("SESSIONS", |found| found.value_size = 48)).unwrap_err().to_string();
        for part in ["gateway `gw`", "map `SESSIONS`", "value size is 48, expected 40", "natgw detach --gateway gw"] {
            assert!(text.contains(part), "`{part}` is missing in: {text}");
        }
    }

    #[test]
    fn all_mismatches_are_reported_together() {
        let mut found = with("EIPS", |found| found.value_size = 8);
        found.iter_mut().find(|found| found.name == "SNAT").unwrap().kind = MapKind::Hash as u32;
        let text = check(&found).unwrap_err().to_string();
        assert!(text.contains("`EIPS`") && text.contains("`SNAT`"), "{text}");
    }

    #[test]
    fn another_capacity_alone_is_adopted_with_a_warning() {
        let adoption = check(&with("SESSIONS", |found| found.max_entries = 77)).unwrap();
        assert!(adoption.adopted.contains(&"SESSIONS"));
        assert_eq!(adoption.warnings.len(), 1);
        assert!(adoption.warnings[0].contains("holds 77 entries, not the 1000"), "{:?}", adoption.warnings);
    }

    #[test]
    fn a_version_from_the_future_is_refused_even_if_all_maps_fit() {
        let error = compare("gw", &pinned(), &expected(1000), Some(ABI_VERSION + 1)).unwrap_err().to_string();
        assert!(error.contains("newer natgw") && error.contains("natgw detach --gateway gw"), "{error}");
    }

    #[test]
    fn an_interrupted_first_start_without_a_record_is_completed() {
        let adoption = compare("gw", &pinned()[..3], &expected(1000), None).unwrap();
        assert_eq!((adoption.adopted.len(), adoption.missing.len()), (3, MAPS.len() - 3));
        assert!(adoption.warnings.is_empty());
    }

    #[test]
    fn a_map_that_vanished_after_the_record_was_written_is_made_anew_with_a_warning() {
        let adoption = check(&pinned()[1..]).unwrap();
        assert_eq!(adoption.missing, [MAPS[0].name]);
        assert!(adoption.warnings[0].contains("had been removed"), "{:?}", adoption.warnings);
    }

    #[test]
    fn a_foreign_pin_is_only_a_warning() {
        let mut found = pinned();
        found.push(FoundMap { name: "OTHER".into(), kind: 1, key_size: 1, value_size: 1, max_entries: 1, flags: 0 });
        let adoption = check(&found).unwrap();
        assert_eq!(adoption.warnings.len(), 1);
        assert!(adoption.warnings[0].contains("`OTHER`"));
    }
}
