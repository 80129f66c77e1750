//! The background sweep of expired sessions, and once after an adoption the search for sessions whose rule is gone.
//!
//! Sessions normally end with their rule. A daemon that dies between the two leaves sessions that no later plan
//! names, because plans are differences of the rule maps.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use natgw_common::abi::{DnatKey, DnatTarget, Origin, Session, SessionKey};
use tokio::time::MissedTickBehavior;

use crate::{
    core::plan::{Actual, EndSessions},
    datapath::{GatewayPaths, Maps, SweepError, Sweeper},
    observe::metrics::SessionMetrics,
};

/// Starts the periodic sweep. It ends with the runtime.
pub(super) fn spawn(sweeper: Sweeper, interval: Duration, metrics: SessionMetrics) {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let sweeper = Arc::new(sweeper);
        let mut failing = false;
        loop {
            ticks.tick().await;
            let job = Arc::clone(&sweeper);
            let Ok(swept) = tokio::task::spawn_blocking(move || job.sweep_expired()).await else { return };
            match swept {
                Ok(report) => {
                    failing = false;
                    metrics.swept(report.seen.saturating_sub(report.removed));
                    tracing::debug!(seen = report.seen, proposed = report.proposed, removed = report.removed, "swept");
                }
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(%error, "cannot sweep expired sessions; they are still reclaimed when needed");
                }
                Err(_) => {}
            }
        }
    });
}

/// Ends the sessions that no pinned rule accounts for. Blocking.
pub(super) fn end_orphans(paths: &GatewayPaths, sweeper: &Sweeper) -> Result<u64, SweepError> {
    let Ok(maps) = Maps::open(paths) else { return Ok(0) };
    let Ok(rules) = maps.read_actual() else { return Ok(0) };
    let mut gone = Orphans::default();
    // A record that cannot be read is the periodic sweep's business.
    for (key, session) in maps.sessions().flatten() {
        gone.look_at(&rules, &key, &session);
    }
    let gone: Vec<EndSessions> = gone.0.into_values().collect();
    if gone.is_empty() { Ok(0) } else { sweeper.end(&gone) }
}

#[derive(Debug, Default)]
struct Orphans(BTreeMap<Identity, EndSessions>);

/// EIP, pod, their ports and the protocol, as far as they matter.
type Identity = ([u8; 4], [u8; 4], [u8; 2], [u8; 2], u8);

impl Orphans {
    fn look_at(&mut self, rules: &Actual, key: &SessionKey, session: &Session) {
        let (eip, pod) = (key.ext_addr, session.int_addr);
        let dnat = |key: DnatKey, target: DnatTarget| {
            let identity = (key.eip, target.addr, key.port, target.port, key.proto);
            (rules.dnat.get(&key) != Some(&target)).then_some((identity, EndSessions::Dnat { key, target }))
        };
        let points_to = |eip: [u8; 4], pod: [u8; 4]| rules.fip_in.get(&eip).is_some_and(|fip| fip.addr == pod);
        let gone = |eip: [u8; 4]| {
            (!rules.eips.contains_key(&eip)).then_some(((eip, [0; 4], [0; 2], [0; 2], 0), EndSessions::Eip(eip)))
        };
        let fip = || (!points_to(eip, pod)).then_some(((eip, pod, [0; 2], [0; 2], 0), EndSessions::Fip { eip, pod }));
        let orphan = gone(eip).or_else(|| match Origin::from_u32(session.origin)? {
            Origin::Snat => None,
            Origin::Fip => fip(),
            Origin::Dnat => dnat(DnatKey::new(eip, key.ext_port, key.proto), DnatTarget::new(pod, session.int_port)),
            // The EIP that was dialled is what the client sees as its peer; the peer outside is the pod behind it.
            Origin::Hairpin => gone(session.peer_addr)
                .or_else(|| {
                    let rule = DnatKey::new(session.peer_addr, session.peer_port, key.proto);
                    let orphan = dnat(rule, DnatTarget::new(key.peer_addr, key.peer_port));
                    // A floating IP leads to the port that was dialled.
                    let by_fip = points_to(session.peer_addr, key.peer_addr) && session.peer_port == key.peer_port;
                    orphan.filter(|_| !by_fip)
                })
                // A client that does not look like what it dialled has a floating IP of its own.
                .or_else(|| fip().filter(|_| eip != session.peer_addr)),
        });
        if let Some((identity, end)) = orphan {
            self.0.insert(identity, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use natgw_common::abi::{EipEntry, Fip};

    use super::*;
    use crate::{
        core::small_worlds::{sessions, worlds},
        datapath::sessions::ends_with,
    };

    const EIP: [u8; 4] = [203, 0, 113, 10];
    const POD: [u8; 4] = [10, 0, 0, 5];
    const PEER: [u8; 4] = [198, 51, 100, 1];

    fn session(origin: Origin) -> (SessionKey, Session) {
        let key = SessionKey {
            ext_addr: EIP,
            peer_addr: PEER,
            ext_port: [0, 80],
            peer_port: [9, 9],
            proto: 6,
            role: 0,
            _pad: [0; 2],
        };
        let session = Session {
            last_seen_ns: 1,
            created_ns: 1,
            state: 0,
            int_addr: POD,
            peer_addr: PEER,
            int_port: [31, 144],
            peer_port: [9, 9],
            origin: origin as u32,
            tag: 0,
        };
        (key, session)
    }

    fn orphans(rules: &Actual, origin: Origin) -> Vec<EndSessions> {
        let mut orphans = Orphans::default();
        let (key, session) = session(origin);
        orphans.look_at(rules, &key, &session);
        orphans.look_at(rules, &key, &session);
        orphans.0.into_values().collect()
    }

    fn rules() -> Actual {
        let mut rules = Actual::default();
        rules.eips.insert(EIP, EipEntry { flags: 0 });
        rules.fip_in.insert(EIP, Fip { addr: POD, flags: 0 });
        rules.dnat.insert(DnatKey::new(EIP, [0, 80], 6), DnatTarget::new(POD, [31, 144]));
        rules
    }

    #[test]
    fn sessions_with_their_rule_stay() {
        for origin in [Origin::Snat, Origin::Dnat, Origin::Fip] {
            assert!(orphans(&rules(), origin).is_empty(), "{origin:?}");
        }
    }

    #[test]
    fn a_hairpin_lives_by_the_rule_that_was_dialled() {
        let (mut key, mut session) = session(Origin::Hairpin);
        (session.peer_addr, session.peer_port) = (EIP, [0, 80]);
        let (mut by_fip, mut by_dnat) = (rules(), rules());
        by_fip.dnat.clear();
        by_dnat.fip_in.clear();
        // A floating IP leads to the port that was dialled, this mapping to another.
        for (port, lives_by) in [([31, 144], [&rules(), &by_dnat]), ([0, 80], [&rules(), &by_fip])] {
            (key.peer_addr, key.peer_port) = (POD, port);
            let orphans = |rules: &Actual| {
                let mut orphans = Orphans::default();
                orphans.look_at(rules, &key, &session);
                orphans.0.len()
            };
            assert_eq!(lives_by.map(orphans), [0, 0]);
            assert_eq!([&by_fip, &by_dnat].into_iter().filter(|rules| orphans(rules) == 1).count(), 1);
        }
    }

    #[test]
    fn sessions_of_a_rule_that_is_gone_or_points_elsewhere_end_once() {
        let mut moved = rules();
        moved.fip_in.insert(EIP, Fip { addr: PEER, flags: 0 });
        moved.dnat.clear();
        assert_eq!(orphans(&moved, Origin::Fip), [EndSessions::Fip { eip: EIP, pod: POD }]);
        let target = DnatTarget::new(POD, [31, 144]);
        assert_eq!(orphans(&moved, Origin::Dnat), [EndSessions::Dnat { key: DnatKey::new(EIP, [0, 80], 6), target }]);
        assert!(orphans(&moved, Origin::Snat).is_empty(), "SNAT sessions outlive their rule");
    }

    /// Killed anywhere, a daemon that starts again ends the sessions whose rule was gone by then, and its plan the rest.
    #[test]
    fn in_small_worlds_the_orphans_are_the_sessions_whose_rule_is_gone() {
        let worlds = worlds();
        for opened in worlds.iter().flat_map(sessions) {
            for world in &worlds {
                let mut orphans = Orphans::default();
                orphans.look_at(&world.maps, &opened.key, &opened.session);
                let ended = orphans.0.values().any(|gone| ends_with(gone, &opened.key, &opened.session));
                let right = opened.must_end(&world.maps).is_none_or(|must| must == ended);
                assert!(right, "ended is {ended}: {opened:#?}\n{:#?}", world.maps);
            }
        }
    }

    #[test]
    fn sessions_of_an_eip_that_is_gone_end() {
        assert_eq!(orphans(&Actual::default(), Origin::Snat), [EndSessions::Eip(EIP)]);
    }
}
