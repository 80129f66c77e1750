//! What the programs count, read from the pinned per-CPU maps at the moment of a scrape.
//!
//! The maps are opened for each scrape: a daemon that starts has none yet, and one that migrates gets others.

use std::fmt;

use natgw_common::abi::Traffic;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

use crate::datapath::{GatewayPaths, Maps, maps::Counters};

/// Reads the pinned maps.
#[derive(Debug)]
pub(super) struct DatapathCollector {
    paths: GatewayPaths,
}

impl DatapathCollector {
    pub(super) fn new(paths: GatewayPaths) -> Self {
        Self { paths }
    }

    fn read(&self) -> Option<(Counters, u32)> {
        let maps = Maps::open(&self.paths).ok()?;
        Some((maps.counters().ok()?, maps.session_capacity()))
    }
}

impl Collector for DatapathCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let read = self.read();
        let help = "Whether the counters below could be read from the pinned maps.";
        let readable = encoder.encode_descriptor("maps_readable", help, None, MetricType::Gauge)?;
        ConstGauge::new(u32::from(read.is_some())).encode(readable)?;
        match read {
            Some((counters, capacity)) => encode(&mut encoder, &counters, capacity),
            None => Ok(()),
        }
    }
}

/// Writes all of it. Unlike a registry, a collector ends its help texts itself.
pub(super) fn encode(
    encoder: &mut DescriptorEncoder,
    counters: &Counters,
    session_capacity: u32,
) -> Result<(), fmt::Error> {
    let each = |value: fn(&Traffic) -> u64| -> Vec<_> {
        counters.traffic.iter().map(|(path, one)| (path.name(), value(one))).collect()
    };
    let dropped = |value: fn(&Traffic) -> u64| -> Vec<_> {
        counters.drops.iter().map(|(reason, one)| (reason.name(), value(one))).collect()
    };
    let events: Vec<_> = counters.sessions.iter().map(|(stat, count)| (stat.name(), *count)).collect();
    let help = "Packets translated or passed, by rule kind and direction; a GSO packet counts once.";
    family(encoder, ("packets", help, None), "path", &each(|one| one.packets))?;
    let help = "Bytes of those packets from the IP header on.";
    family(encoder, ("traffic", help, Some(&Unit::Bytes)), "path", &each(|one| one.bytes))?;
    family(encoder, ("dropped_packets", "Packets dropped.", None), "reason", &dropped(|one| one.packets))?;
    let help = "Bytes of the dropped packets from the IP header on.";
    family(encoder, ("dropped", help, Some(&Unit::Bytes)), "reason", &dropped(|one| one.bytes))?;
    family(encoder, ("session_events", "What happened to sessions.", None), "event", &events)?;
    let help = "Capacity of the session table.";
    let capacity = encoder.encode_descriptor("sessions_max", help, None, MetricType::Gauge)?;
    ConstGauge::new(session_capacity).encode(capacity)
}

fn family(
    encoder: &mut DescriptorEncoder,
    (name, help, unit): (&str, &str, Option<&Unit>),
    label: &'static str,
    values: &[(&'static str, u64)],
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
    for (value, count) in values {
        ConstCounter::new(*count).encode(family.encode_family(&[(label, *value)])?)?;
    }
    Ok(())
}
