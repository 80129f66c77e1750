//! The exposition as a scraper reads it, and the document that lists it.

mod exposition;

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use natgw_common::abi::{Counter, DropReason, SessionStat, Traffic};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use self::exposition::{Family, parse};
use super::*;
use crate::{
    cluster::{source::WatchCount, status::writer::Tally},
    core::objects::Kind,
    datapath::Counters,
    observe::health::Loaded,
};

/// Stands for maps that can be read: counter `n` has `n` packets of 100 bytes.
#[derive(Debug)]
struct Maps;

impl Collector for Maps {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let traffic = |n: u32| Traffic { packets: u64::from(n), bytes: u64::from(n) * 100 };
        let counters = Counters {
            traffic: Counter::ALL.iter().map(|counter| (*counter, traffic(*counter as u32))).collect(),
            drops: DropReason::ALL.iter().map(|reason| (*reason, traffic(*reason as u32))).collect(),
            sessions: SessionStat::ALL.iter().map(|stat| (*stat, u64::from(*stat as u32))).collect(),
        };
        datapath::encode(&mut encoder, &counters, 4096)
    }
}

fn metrics() -> (Metrics, Health) {
    let health = Health::new(["eth0", "net1"], Duration::from_secs(10), Duration::ZERO);
    let paths = GatewayPaths::new("/nowhere", "gw1").unwrap();
    (Metrics::new(paths, health.clone()), health)
}

/// Everything that a running daemon shows.
fn families() -> Vec<Family> {
    let (metrics, health) = metrics();
    health.loaded(Loaded { adopted: true, eips: 0 });
    let mut maps = Registry::with_prefix("natgw");
    maps.register_collector(Box::new(Maps));
    let mut text = metrics.encode().trim_end_matches("# EOF\n").to_owned();
    text::encode(&mut text, &maps).unwrap();
    parse(&text)
}

fn value(metrics: &Metrics, sample: &str) -> f64 {
    let all = parse(&metrics.encode());
    let found = all.iter().flat_map(|family| &family.samples).find(|one| one.to_string() == sample);
    found.unwrap_or_else(|| panic!("{sample} is missing in:\n{}", metrics.encode())).value
}

#[test]
fn every_metric_has_a_prefix_a_help_text_and_its_unit_as_suffix() {
    for family in families() {
        let name = &family.name;
        assert!(name.starts_with("natgw_"), "{name}");
        assert!(family.help.len() > 10 && family.help.ends_with('.') && !family.help.ends_with(".."), "{name}");
        if let Some(unit) = &family.unit {
            assert!(name.ends_with(&format!("_{unit}")), "{name} is in {unit}");
            assert!(["seconds", "bytes"].contains(&unit.as_str()), "{name}: {unit} is no base unit");
        }
        for part in ["milliseconds", "_ms", "micros", "nanos", "_kb", "percent"] {
            assert!(!name.contains(part), "{name} is in no base unit");
        }
        assert!(!family.samples.is_empty(), "{name} has no series from the start");
        for sample in &family.samples {
            let suffixes: &[&str] = match family.kind.as_str() {
                "counter" => &["_total"],
                "info" => &["_info"],
                "histogram" => &["_bucket", "_sum", "_count"],
                "gauge" => &[""],
                kind => panic!("{name} is a {kind}"),
            };
            assert!(suffixes.iter().any(|suffix| sample.name == format!("{name}{suffix}")), "{sample}");
        }
    }
}

#[test]
fn names_are_unique_and_series_are_few_and_never_named_after_an_object() {
    let families = families();
    let names: BTreeSet<_> = families.iter().map(|family| &family.name).collect();
    assert_eq!(names.len(), families.len());
    let labels: Vec<_> = families
        .iter()
        .filter(|family| family.kind != "info")
        .flat_map(|family| &family.samples)
        .flat_map(|sample| &sample.labels)
        .collect();
    let known = ["kind", "cause", "what", "outcome", "side", "path", "reason", "event", "le"];
    for (label, value) in &labels {
        assert!(known.contains(&label.as_str()), "{label} is a new label: are its values bounded?");
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(label == "le" || value.bytes().all(word), "{label}={value} is no word");
    }
    let series: usize = families.iter().map(|family| family.samples.len()).sum();
    assert!(series < 250, "{series} series");
}

#[test]
fn the_exposition_ends_as_openmetrics_wants() {
    assert!(metrics().0.encode().ends_with("# EOF\n"));
}

#[test]
fn without_maps_their_counters_are_absent_and_that_is_said() {
    let (metrics, _) = metrics();
    assert!((value(&metrics, "natgw_maps_readable") - 0.0).abs() < f64::EPSILON);
    assert!(!metrics.encode().contains("natgw_packets"));
}

fn assert_values(metrics: &Metrics, expected: &[(&str, f64)]) {
    for (sample, expected) in expected {
        let found = value(metrics, sample);
        assert!((found - expected).abs() < 1e-9, "{sample} is {found}, not {expected}");
    }
}

#[test]
fn handles_write_to_their_series() {
    let (metrics, health) = metrics();
    metrics.objects.set(Entries::Dnat, 5, 4);
    metrics.objects.set_refused(Kind::IptablesDnatRule, 2);
    metrics.reconcile.passed(Cause::Drift, Duration::from_millis(3), 7, 1);
    metrics.reconcile.repaired(Drift::MapEntry);
    metrics.sessions.swept(12);
    metrics.cluster.watched(&[(Kind::Subnet, WatchCount { lists: 2, errors: 3 })].into());
    metrics.cluster.wrote(Tally { written: 4, failed: 5, gone: 6, events: 7, events_dropped: 8 });
    health.begun();
    health.read(None);
    health.interfaces([(true, true), (true, false)]);
    assert_values(
        &metrics,
        &[
            ("natgw_objects_desired{kind=dnat}", 5.0),
            ("natgw_objects_programmed{kind=dnat}", 4.0),
            ("natgw_objects_refused{kind=dnat}", 2.0),
            ("natgw_reconcile_duration_seconds_count{cause=drift}", 1.0),
            ("natgw_reconcile_duration_seconds_count{cause=change}", 0.0),
            ("natgw_reconcile_duration_seconds_sum{cause=drift}", 0.003),
            ("natgw_map_writes_total", 7.0),
            ("natgw_reconcile_errors_total", 1.0),
            ("natgw_drift_repairs_total{what=map_entry}", 1.0),
            ("natgw_drift_repairs_total{what=sysctl}", 0.0),
            ("natgw_sessions", 12.0),
            ("natgw_watch_lists_total{kind=subnet}", 2.0),
            ("natgw_watch_errors_total{kind=subnet}", 3.0),
            ("natgw_status_writes_total{outcome=written}", 4.0),
            ("natgw_status_writes_total{outcome=failed}", 5.0),
            ("natgw_status_writes_total{outcome=gone}", 6.0),
            ("natgw_events_total", 7.0),
            ("natgw_events_dropped_total", 8.0),
            ("natgw_ready", 0.0),
            ("natgw_source_synced", 1.0),
            ("natgw_source_staleness_seconds", 0.0),
            ("natgw_interface_present{side=external}", 1.0),
            ("natgw_programs_attached{side=internal}", 1.0),
            ("natgw_programs_attached{side=external}", 0.0),
        ],
    );
    health.interfaces([(true, true); 2]);
    health.problems(vec!["a".to_owned(), "b".to_owned()]);
    assert_values(&metrics, &[("natgw_ready", 0.0), ("natgw_problems", 2.0)]);
    health.problems(Vec::new());
    assert_values(&metrics, &[("natgw_ready", 1.0), ("natgw_problems", 0.0)]);
}

#[test]
fn a_source_that_was_never_read_gets_staler() {
    let (metrics, _) = metrics();
    assert!(value(&metrics, "natgw_source_staleness_seconds") > 0.0);
}

#[test]
fn a_new_writer_counts_on() {
    let (metrics, _) = metrics();
    metrics.cluster.wrote(Tally { written: 4, ..Tally::default() });
    metrics.cluster.wrote(Tally { written: 1, ..Tally::default() });
    assert_values(&metrics, &[("natgw_status_writes_total{outcome=written}", 5.0)]);
}

/// The tables of `docs/metrics.md`.
fn tables() -> [String; 2] {
    let families = families();
    let mut metrics = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    let mut labels: Vec<(&str, Vec<&str>)> = Vec::new();
    for family in &families {
        let suffix = match family.kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let used = family.labels();
        let names = used.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        writeln!(metrics, "| `{}{suffix}` | {} | {names} | {} |", family.name, family.kind, family.help).unwrap();
        for (label, value) in family.samples.iter().flat_map(|sample| &sample.labels) {
            if family.kind == "info" || label == "le" {
                continue;
            }
            let at = labels.iter().position(|(known, _)| known == label).unwrap_or_else(|| {
                labels.push((label, Vec::new()));
                labels.len() - 1
            });
            if !labels[at].1.contains(&value.as_str()) {
                labels[at].1.push(value);
            }
        }
    }
    let mut values = "| label | values |\n|---|---|\n".to_owned();
    for (label, all) in &mut labels {
        all.sort_unstable();
        let all = all.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
        writeln!(values, "| `{label}` | {all} |").unwrap();
    }
    [metrics, values]
}

#[test]
fn the_document_lists_every_metric_and_every_label_as_they_are() {
    let document = include_str!("../../../../docs/metrics.md");
    for table in tables() {
        assert!(document.contains(&table), "docs/metrics.md should have this table:\n\n{table}");
    }
}
