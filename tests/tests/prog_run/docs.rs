//! The documents name every number of the ABI.

use std::{fs, path::Path};

use natgw_common::{
    abi::{Counter, DropReason, MAPS, SessionStat},
    tcp_state::TcpState,
};

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// `| number | `name` | ...`
fn has_row(document: &str, number: u32, name: &str) -> bool {
    document.lines().any(|line| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        cells.next() == Some(&number.to_string()) && cells.next() == Some(&format!("`{name}`"))
    })
}

#[test]
fn every_drop_reason_is_explained_under_its_number() {
    let text = document("drop-reasons.md");
    for reason in DropReason::ALL {
        assert!(
            has_row(&text, *reason as u32, reason.name()),
            "docs/drop-reasons.md lacks {} {}",
            *reason as u32,
            reason.name()
        );
    }
}

#[test]
fn every_counter_and_session_event_is_explained_under_its_number() {
    let text = document("map-abi.md");
    for counter in Counter::ALL {
        assert!(
            has_row(&text, *counter as u32, counter.name()),
            "docs/map-abi.md lacks {} {}",
            *counter as u32,
            counter.name()
        );
    }
    for stat in SessionStat::ALL {
        assert!(has_row(&text, *stat as u32, stat.name()), "docs/map-abi.md lacks {} {}", *stat as u32, stat.name());
    }
}

#[test]
fn every_map_is_described_with_its_sizes() {
    let text = document("map-abi.md");
    for spec in MAPS {
        let row = format!(
            "| `{}` | {:?} | {} | {} | {} |",
            spec.name, spec.kind, spec.key_size, spec.value_size, spec.max_entries
        );
        assert!(text.contains(&row), "docs/map-abi.md lacks the row {row}");
        assert!(text.contains(&format!("\n## {}\n", spec.name)), "docs/map-abi.md has no section {}", spec.name);
    }
}

#[test]
fn every_tcp_state_is_explained_under_its_number() {
    let text = document("map-abi.md");
    let states: Vec<_> = (0..32).filter_map(TcpState::from_u32).collect();
    assert!(!states.is_empty());
    for state in states {
        assert!(has_row(&text, state as u32, state.name()), "docs/map-abi.md lacks {} {}", state as u32, state.name());
    }
}
