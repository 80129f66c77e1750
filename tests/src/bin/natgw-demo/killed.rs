//! The daemon is killed in the middle of its traffic and started again.

use std::{net::SocketAddrV4, time::Duration};

use natgw_tests::{clock, command, maps::MapDump};
use serde_json::Value;

use crate::{
    progress,
    report::{Report, Restart, verdict},
    stage::Stage,
    traffic::Traffic,
};

/// How long traffic runs before the kill, without a daemon, and after the restart.
const PHASE: Duration = Duration::from_secs(1);
/// What the recovery table allows for a restart.
const READY: Duration = Duration::from_secs(1);

/// Kills, restarts, and counts.
pub(crate) fn run(stage: &mut Stage, report: &mut Report) {
    progress("traffic: TCP transfers and 1 kHz probes through SNAT, DNAT and FIP");
    let traffic = match Traffic::start(stage) {
        Ok(traffic) => traffic,
        Err(error) => return report.add("traffic", Err(error)),
    };
    let before = MapDump::rules(&stage.gateway);
    clock::pass(PHASE);
    progress("one session of the table, by bpftool:");
    report.session = session(stage, traffic.snat_client());
    report.add(
        "session shown by bpftool",
        report
            .session
            .clone()
            .ok_or_else(|| "not found".to_owned())
            .map(|_| "bpftool map dump pinned .../maps/SESSIONS".to_owned()),
    );
    if let Some(text) = &report.session {
        progress(text);
    }
    progress(&format!("SIGKILL for natgw (pid {})", stage.daemon.pid()));
    stage.daemon.kill9();
    clock::pass(PHASE);
    progress("starting natgw again");
    stage.daemon = stage.gateway.spawn();
    let ready = stage.daemon.wait_ready();
    clock::pass(PHASE);
    let after = MapDump::rules(&stage.gateway);
    let seen = traffic.stop(&stage.net);
    let ((sent, lost), resets) = (seen.packets(), seen.resets);
    seen.report_lossless("killed", report);
    seen.report_transfers("killed", report);
    let writes = ready.number("map_writes");
    let took = stage.daemon.ready_after();
    report.add("packets lost 0", verdict(lost == 0, format!("{lost} of {sent} lost")));
    report.add("connections reset 0", verdict(resets == 0, format!("{resets} resets")));
    report.add(
        "map writes at restart 0",
        verdict(writes == Some(0), writes.map_or_else(|| "not said".to_owned(), |writes| format!("{writes} writes"))),
    );
    let difference = before.difference(&after);
    report.add("maps unchanged", verdict(difference.is_empty(), format!("{} entries differ", difference.len())));
    report.add("ready within a second", verdict(took < READY, format!("{} ms", took.as_millis())));
    report.restart = Some(Restart { sent, lost, resets, map_writes: writes, ready_ms: took.as_millis() });
}

/// The session of the connection from `local`, as bpftool prints it.
fn session(stage: &Stage, local: SocketAddrV4) -> Option<String> {
    let pin = stage.gateway.pins().join("maps/SESSIONS").display().to_string();
    let dump = command::run("bpftool", &["-j", "map", "dump", "pinned", &pin]);
    let entries: Value = serde_json::from_str(&dump).ok()?;
    let is = |value: &Value, bytes: &[u8]| {
        value
            .as_array()
            .is_some_and(|list| list.iter().map(Value::as_u64).eq(bytes.iter().map(|b| Some(u64::from(*b)))))
    };
    let found = entries.as_array()?.iter().map(|entry| entry.get("formatted").unwrap_or(entry)).find(|entry| {
        is(&entry["value"]["int_addr"], &local.ip().octets())
            && is(&entry["value"]["int_port"], &local.port().to_be_bytes())
            && entry["key"]["proto"] == 6
    })?;
    Some(format!("  key   {}\n  value {}", found["key"], found["value"]))
}
