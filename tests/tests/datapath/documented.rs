//! docs/map-abi.md gives the bytes of every field: those of the types that the pinned maps carry.

use std::{fs, path::Path};

use natgw_common::abi::MAPS;
use natgw_tests::command;
use serde_json::Value;

use crate::rig::Rig;

/// Records that are described in another section, and the words that say where.
const ELSEWHERE: [(&str, &str, &str); 4] = [
    ("FIP_OUT", "value", "Value as in `FIP_IN`"),
    ("FLOWS", "value", "Value: a key of `SESSIONS`"),
    ("COUNTERS", "value", "`packets` and `bytes`"),
    ("DROPS", "value", "Values as in `COUNTERS`"),
];

/// A field as a row of the page: its name, and its bytes as `4-7` or `6`.
type Field = (String, String);

/// The fields of a map's key or value; none if that is no record.
fn fields(map: &Path, what: &str) -> Vec<Field> {
    let shown = command::run("bpftool", &["-j", "btf", "dump", "map", "pinned", &map.display().to_string(), what]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let record = &shown["types"][0];
    let Some(members) = record["members"].as_array() else { return Vec::new() };
    let starts = members.iter().map(|member| member["bits_offset"].as_u64().expect("an offset") / 8);
    let starts: Vec<_> = starts.chain(record["size"].as_u64()).collect();
    let name = |member: &Value| member["name"].as_str().expect("a name").to_owned();
    members.iter().zip(starts.windows(2)).map(|(member, bounds)| (name(member), bytes(bounds[0], bounds[1]))).collect()
}

fn bytes(start: u64, end: u64) -> String {
    if end == start + 1 { start.to_string() } else { format!("{start}-{}", end - 1) }
}

/// The fields that the tables of a section name, in their order.
fn documented(section: &str) -> Vec<Field> {
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let (name, bytes) = (cells.next()?.strip_suffix('`')?, cells.next()?);
        bytes.starts_with(|first: char| first.is_ascii_digit()).then(|| (name.to_owned(), bytes.to_owned()))
    };
    section.lines().filter_map(row).collect()
}

#[test]
fn the_page_of_the_maps_gives_the_bytes_that_their_types_give() {
    let rig = Rig::new();
    let lock = rig.lock();
    let (_datapath, _) = rig.load(&lock).unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/map-abi.md");
    let page = fs::read_to_string(page).expect("docs/map-abi.md is there");
    let mut compared = 0;
    for spec in MAPS {
        let (_, section) = page.split_once(&format!("\n## {}\n", spec.name)).expect("every map has a section");
        let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
        let mut expected = Vec::new();
        for what in ["key", "value"] {
            let of_map = fields(&rig.paths.map(spec.name), what);
            match ELSEWHERE.iter().find(|(map, part, _)| (*map, *part) == (spec.name, what)) {
                Some((.., words)) => assert!(section.contains(words), "{} {what}: {section}", spec.name),
                None => expected.extend(of_map),
            }
        }
        assert_eq!(documented(section), expected, "{}", spec.name);
        compared += expected.len();
    }
    assert!(compared > 40, "{compared} fields only");
}
