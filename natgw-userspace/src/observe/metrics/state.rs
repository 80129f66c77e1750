//! What follows from the health at the moment of a scrape.

use std::{
    fmt,
    time::{Instant, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge, info::Info},
    registry::Unit,
};

use crate::observe::{Health, readiness::Readiness};

/// Reads a [`Health`].
#[derive(Debug)]
pub(super) struct StateCollector {
    gateway: String,
    health: Health,
}

impl StateCollector {
    pub(super) fn new(gateway: &str, health: Health) -> Self {
        Self { gateway: gateway.to_owned(), health }
    }
}

impl Collector for StateCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let (state, now) = (self.health.state(), Instant::now());
        if let Some(loaded) = state.loaded {
            let help = "How the running process began: adopted says whether it took over a pinned data plane.";
            let adopted = if loaded.adopted { "true" } else { "false" };
            let info = Info::new([("gateway", self.gateway.clone()), ("adopted", adopted.to_owned())]);
            info.encode(encoder.encode_descriptor("start", help, None, MetricType::Info)?)?;
        }
        let began = state.started_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let help = "When the process started, in seconds since 1970: changes are restarts.";
        gauge(&mut encoder, "start_time", help, Some(&Unit::Seconds), began)?;
        let ready = u32::from(Readiness::of(&state, now).ready);
        gauge(&mut encoder, "ready", "Whether /readyz says ready.", None, ready)?;
        let help = "Whether the source has been read completely since the start.";
        gauge(&mut encoder, "source_synced", help, None, u32::from(state.synced))?;
        let help = "How long what is known of the source may be out of date: 0 while it is followed.";
        let staleness = state.staleness(now).as_secs_f64();
        gauge(&mut encoder, "source_staleness", help, Some(&Unit::Seconds), staleness)?;
        let help = "Things that could not be programmed and are tried again.";
        gauge(&mut encoder, "problems", help, None, state.problems.len() as u64)?;
        let sides = || ["internal", "external"].into_iter().zip(&state.interfaces);
        let present = sides().map(|(side, interface)| (side, interface.present));
        by_side(&mut encoder, "interface_present", "Whether the interface exists.", present)?;
        let attached = sides().map(|(side, interface)| (side, interface.attached));
        by_side(&mut encoder, "programs_attached", "Whether the programs are on the interface.", attached)
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: impl EncodeGaugeValue,
) -> Result<(), fmt::Error> {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?)
}

fn by_side(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    sides: impl Iterator<Item = (&'static str, bool)>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (side, is) in sides {
        ConstGauge::new(u32::from(is)).encode(family.encode_family(&[("side", side)])?)?;
    }
    Ok(())
}
