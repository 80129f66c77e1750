//! Every combination of the facts, compared with a table of what each alone means.

use std::time::{Duration, Instant};

use super::*;
use crate::observe::health::{Health, Loaded};

/// What is known of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Never,
    Synced,
    Stale,
}

/// What was found at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pins {
    None,
    Empty,
    Filled,
}

#[derive(Debug, Clone, Copy)]
struct World {
    begun: bool,
    source: Source,
    pins: Pins,
    /// Missing, bare or attached, for each interface.
    interfaces: [u8; 2],
    problems: usize,
}

impl World {
    fn all() -> impl Iterator<Item = Self> {
        let sources = [Source::Never, Source::Synced, Source::Stale];
        let pins = [Pins::None, Pins::Empty, Pins::Filled];
        (0..2 * 3 * 3 * 3 * 3 * 3).map(move |n: usize| Self {
            begun: n.is_multiple_of(2),
            source: sources[n / 2 % 3],
            pins: pins[n / 6 % 3],
            interfaces: [u8::try_from(n / 18 % 3).unwrap(), u8::try_from(n / 54 % 3).unwrap()],
            problems: n / 162 % 3,
        })
    }

    fn state(self) -> State {
        let health = Health::new(["eth0", "net1"], Duration::from_secs(10), Duration::ZERO);
        health.loaded(Loaded { adopted: self.pins != Pins::None, eips: if self.pins == Pins::Filled { 3 } else { 0 } });
        if self.source != Source::Never {
            health.read(None);
        }
        if self.source == Source::Stale {
            health.connection(Some((Instant::now(), "connection refused")));
        }
        health.interfaces(self.interfaces.map(|one| (one > 0, one > 1)));
        health.problems((0..self.problems).map(|n| format!("problem {n}")).collect());
        if self.begun {
            health.begun();
        }
        health.state()
    }

    fn expected(self) -> Vec<Reason> {
        if !self.begun {
            return vec![Reason::Starting];
        }
        let source = match (self.source, self.pins) {
            (Source::Synced, _) => None,
            (Source::Never, Pins::None | Pins::Empty) => Some(Reason::SourceNeverSynced),
            (Source::Never, Pins::Filled) | (Source::Stale, _) => Some(Reason::SourceStale),
        };
        let interface = |one| match one {
            0 => Some(Reason::InterfaceMissing),
            1 => Some(Reason::NotAttached),
            _ => None,
        };
        let problems = (self.problems > 0).then_some(Reason::NotProgrammed);
        let [internal, external] = self.interfaces.map(interface);
        [source, internal, external, problems].into_iter().flatten().collect()
    }
}

#[test]
fn every_fact_that_is_not_as_it_should_be_is_listed_and_only_a_stale_source_does_not_block() {
    for world in World::all() {
        let readiness = Readiness::of(&world.state(), Instant::now());
        let reasons: Vec<_> = readiness.reasons.iter().map(|finding| finding.reason).collect();
        assert_eq!(reasons, world.expected(), "{world:?}");
        let ready = reasons.iter().all(|reason| *reason == Reason::SourceStale);
        assert_eq!(readiness.ready, ready, "{world:?}");
    }
}

const WELL: World = World { begun: true, source: Source::Synced, pins: Pins::None, interfaces: [2, 2], problems: 0 };

fn body(world: World) -> String {
    Readiness::of(&world.state(), Instant::now()).to_string()
}

#[test]
fn the_body_says_all_of_it_in_lines() {
    assert_eq!(body(WELL), "ready\n");
    assert_eq!(body(World { source: Source::Stale, ..WELL }), "ready\nstale: for 0s: connection refused\n");
    assert_eq!(
        body(World { source: Source::Never, pins: Pins::Filled, ..WELL }),
        "ready\nstale: not read since the start 0s ago, what was pinned (3 EIPs) forwards: it has not answered yet\n"
    );
    assert_eq!(
        body(World { source: Source::Never, interfaces: [1, 0], problems: 2, ..WELL }),
        "not ready\n\
         SourceNeverSynced: the source has not been read completely for 0s: it has not answered yet\n\
         NotAttached: no program is attached to `eth0`; the log says why\n\
         InterfaceMissing: interface `net1` does not exist; waiting for it\n\
         NotProgrammed: problem 0 (and 1 more)\n"
    );
    assert_eq!(body(World { begun: false, ..WELL }), "not ready\nStarting: the source is being read\n");
}

#[test]
fn an_error_of_several_lines_stays_one_line() {
    let health = Health::new(["eth0", "net1"], Duration::from_secs(10), Duration::ZERO);
    health.read(None);
    health.begun();
    health.interfaces([(true, true); 2]);
    health.open(Some("a\n  ready\nb"));
    assert_eq!(Readiness::of(&health.state(), Instant::now()).to_string(), "ready\nstale: for 0s: a ready b\n");
}

#[test]
fn the_words_are_those_of_the_decision() {
    let text = include_str!("../../../../docs/adr/0015-readiness.md");
    for reason in Reason::ALL {
        assert!(text.contains(&format!("`{reason:?}`")), "docs/adr/0015-readiness.md lacks {reason:?}");
    }
}
