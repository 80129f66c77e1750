//! The node is rebooted under traffic: the container is gone, its namespace is a new one, and the bpffs is empty.

use std::{
    fs,
    time::{Duration, Instant},
};

use natgw_tests::maps::MapDump;

use crate::{
    progress,
    report::{Reboot, Report, verdict},
    stage::Stage,
    traffic::Traffic,
};

/// What the recovery table allows for it.
const BACK: Duration = Duration::from_secs(1);

/// Reboots, and counts.
pub(crate) fn run(stage: &mut Stage, report: &mut Report) {
    progress(
        "traffic again, and a reboot: natgw is killed, its namespace, its interfaces and its pins are thrown away",
    );
    let traffic = match Traffic::start(stage) {
        Ok(traffic) => traffic,
        Err(error) => return report.add("traffic", Err(error)),
    };
    traffic.wait_answers();
    traffic.wait_bytes();
    let before = MapDump::rules(&stage.gateway);
    stage.daemon.kill9();
    stage.net.rebuild_gateway();
    stage.gateway.move_to(&stage.net.gw);
    if let Err(error) = fs::remove_dir_all(stage.gateway.pins()) {
        return report.add("pins thrown away", Err(error.to_string()));
    }
    progress("the pod has a new network namespace and an empty bpffs; starting natgw");
    let started = Instant::now();
    stage.daemon = stage.gateway.spawn();
    traffic.wait_answers();
    let took = started.elapsed();
    stage.daemon.wait_complete();
    let difference = before.difference(&MapDump::rules(&stage.gateway));
    // The sessions went with the pins; a floating IP needs none.
    let seen = traffic.stop_without_sessions(&stage.net);
    let ((sent, lost), resets) = (seen.packets(), seen.resets);
    let gone = format!("{lost} of {sent} packets lost meanwhile, {resets} connections reset");
    report.add(
        "rebooted: every rule translates",
        verdict(took < BACK, format!("{} ms after exec; {gone}", took.as_millis())),
    );
    seen.report_transfers("rebooted, its connection goes on", report);
    report.add(
        "rebooted: maps as before",
        verdict(difference.is_empty(), format!("{} entries differ", difference.len())),
    );
    let new = Traffic::start(stage).map(|traffic| {
        traffic.wait_bytes();
        traffic.stop(&stage.net)
    });
    match new {
        Ok(seen) => {
            seen.report_lossless("rebooted", report);
            seen.report_transfers("rebooted", report);
        }
        Err(error) => report.add("traffic after the reboot", Err(error)),
    }
    report.reboot = Some(Reboot { sent, lost, recovery_ms: took.as_millis() });
}
