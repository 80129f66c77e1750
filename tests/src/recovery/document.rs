//! `docs/recovery.md`.

use std::{fmt::Write as _, time::Duration};

use super::{
    results::{Figures, Machine},
    table::{Bound, Row},
};

const HEAD: &str = "\
# Recovery

What natgw is for: whatever is lost around a gateway, no EIP is. Each row is a test of the layer `recovery`, against a real
etcd and a real kube-apiserver, with probes at 1 kHz (UDP and ICMP, numbered) and TCP transfers whose every byte is compared.
A row whose bound is not kept fails the layer. This file is written by

    cargo xtask test --layer recovery && cargo xtask recovery-report --write

";

/// What kube-ovn's own script takes, in milliseconds: `init`, an EIP, a FIP, a DNAT while there are 100.
const SCRIPT: [u64; 4] = [3200, 3100, 61, 68];

/// Sets of rules that both are asked for: name, the row that measures natgw, EIPs, FIPs, DNATs.
const SETS: [(&str, &str, u64, u64, u64); 2] = [
    ("2 EIPs, 1 FIP, 2 DNATs, 1 SNAT", "R2", 2, 1, 2),
    ("1,000 EIPs, 500 FIPs, 9,480 DNATs, 20 SNATs", "R2 at scale", 1000, 500, 9480),
];

/// The document.
#[must_use]
pub fn document(results: &[(&'static Row, Option<Figures>)]) -> String {
    let mut text = HEAD.to_owned();
    text += &machines(results);
    text += &table(results);
    text += "\n## What is timed\n\n";
    for (row, _) in results.iter().filter(|(row, _)| !row.timed.is_empty()) {
        line(&mut text, &format!("* {}: {}.", row.id, row.timed));
    }
    text += &notes(results);
    text += &comparison(results);
    text
}

/// What was measured where: most rows as the first, and which otherwise.
fn machines(results: &[(&'static Row, Option<Figures>)]) -> String {
    let mut rows = results.iter().filter_map(|(row, figures)| Some((row.id, &figures.as_ref()?.machine)));
    let Some((_, most)) = rows.next() else { return String::new() };
    let mut text = format!("Machine: {}.\n", described(most));
    for (id, other) in rows.filter(|(_, machine)| *machine != most) {
        line(&mut text, &format!("{id}: {}.", described(other)));
    }
    text + "\n"
}

fn described(machine: &Machine) -> String {
    let Machine { cores, kernel, build } = machine;
    format!("{cores} cores, Linux {kernel}; natgw compiled with the profile `{build}`")
}

/// The rows, as Markdown that is read on a terminal too.
#[must_use]
pub fn table(results: &[(&'static Row, Option<Figures>)]) -> String {
    let mut text =
        "| # | what happens | lost of sent | resets | time | bound | kept |\n|---|---|---|---|---|---|---|\n"
            .to_owned();
    for (row, figures) in results {
        let Row { id, what, bound, .. } = row;
        let seen = figures.as_ref().map_or_else(
            || ["not measured", "", "", "no"].map(str::to_owned),
            |figures| {
                let kept = if figures.misses(row).is_empty() { "yes" } else { "NO" };
                let took = figures.took().map_or_else(|| "-".to_owned(), time);
                let resets = figures.resets.map_or_else(|| "-".to_owned(), |resets| resets.to_string());
                [format!("{} of {}", figures.lost, figures.sent), resets, took, kept.to_owned()]
            },
        );
        let [lost, resets, took, kept] = seen;
        line(&mut text, &format!("| {id} | {what} | {lost} | {resets} | {took} | {} | {kept} |", allowed(*bound)));
    }
    text
}

fn allowed(bound: Bound) -> String {
    let counts = [(bound.lost, "lost"), (bound.resets, "resets"), (bound.map_writes, "map writes")];
    let counts = counts.iter().filter_map(|(count, what)| count.map(|count| format!("{count} {what}")));
    let times = bound.within.map(|within| format!("< {}", time(within)));
    let all: Vec<_> = counts.chain(times).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

fn time(duration: Duration) -> String {
    match duration.as_millis() {
        0..2000 => format!("{} ms", duration.as_millis()),
        2000..60_000 => format!("{:.1} s", duration.as_secs_f64()),
        _ => format!("{} min", duration.as_secs() / 60),
    }
}

fn notes(results: &[(&'static Row, Option<Figures>)]) -> String {
    let mut text = "\n## What else was seen\n\n".to_owned();
    for (row, figures) in results {
        if let Some(note) = figures.as_ref().map(|figures| &figures.note).filter(|note| !note.is_empty()) {
            line(&mut text, &format!("* {}: {note}.", row.id));
        }
    }
    text
}

fn comparison(results: &[(&'static Row, Option<Figures>)]) -> String {
    let [init, eip, fip, dnat] = SCRIPT;
    let mut text = format!(
        "\n## Next to kube-ovn's own script\n\n\
         kube-ovn decides from a pod's creation time whether it replays its rules. A reboot keeps the pod object, so nothing\n\
         is replayed and every EIP stays dead until the pod is made again. Then its script is run once for each object through\n\
         `kubectl exec`, strictly one after the other. Measured in a namespace on 2 cores: `init` {init} ms, {eip} ms for an EIP\n\
         (it waits for arping), {fip} ms for a FIP, {dnat} ms for a DNAT while there are 100 of them, more with their number. Times\n\
         of the script are computed from these figures, without its SNATs and without the time to make the pod: lower bounds.\n\n\
         | after a reboot | kube-ovn's script | natgw |\n|---|---|---|\n"
    );
    for (what, id, eips, fips, dnats) in SETS {
        let script = Duration::from_millis(init + eips * eip + fips * fip + dnats * dnat);
        let natgw = results.iter().find(|(row, _)| row.id == id).and_then(|(_, figures)| figures.as_ref()?.took());
        let natgw = natgw.map_or_else(|| "not measured".to_owned(), time);
        line(&mut text, &format!("| {what} | {} | {natgw} |", time(script)));
    }
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a String takes it");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::table::{TABLE, row};

    fn results() -> Vec<(&'static Row, Option<Figures>)> {
        let figures =
            Figures { sent: 1000, resets: Some(0), took_us: Some(90_000), map_writes: Some(0), ..Figures::default() };
        TABLE.iter().map(|row| (row, Some(figures.clone()))).collect()
    }

    #[test]
    fn every_scenario_has_its_line_and_its_verdict() {
        let text = document(&results());
        for number in 1..=13 {
            let line = text.lines().find(|line| line.starts_with(&format!("| R{number} |"))).unwrap_or_default();
            assert!(line.ends_with("| yes |"), "R{number}: {line}");
        }
        assert!(text.contains("| R2 at scale |") && text.contains("| 62 min |"), "{text}");
    }

    #[test]
    fn what_was_not_measured_or_is_too_much_is_not_kept() {
        let mut results = results();
        results[0].1 = None;
        assert!(table(&results).lines().any(|line| line.starts_with("| R1 |") && line.ends_with("| no |")));
        let late = Figures { sent: 9, lost: 1, resets: Some(1), took_us: Some(1_000_001), ..Figures::default() };
        let nothing = Figures::default();
        for figures in [late, nothing] {
            assert_eq!(figures.misses(row("R1")).len(), 4, "{:?}", figures.misses(row("R1")));
            assert_eq!(figures.misses(row("R6")).len(), 2);
            assert_eq!(figures.misses(row("R3")).len(), 1);
        }
    }

    #[test]
    fn a_row_that_was_measured_with_another_natgw_says_so() {
        let mut results = results();
        let figures = results[9].1.as_mut().expect("R9 is measured");
        figures.machine = Machine { build: "debug".to_owned(), cores: 2, kernel: "6.18.1".to_owned() };
        let text = machines(&results);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains("R9: 2 cores, Linux 6.18.1; natgw compiled with the profile `debug`.\n"), "{text}");
    }
}
