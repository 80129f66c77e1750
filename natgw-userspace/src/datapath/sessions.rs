//! The session table as user space sees it: walks that tolerate concurrent changes, and the question which sessions a
//! removed rule leaves behind.

use std::{collections::VecDeque, io, os::fd::AsFd as _, path::Path};

use aya::maps::{MapError, MapInfo};
use natgw_common::abi::{Origin, Session, SessionKey};

use super::raw::{self, Cursor};
use crate::core::plan::EndSessions;

/// Entries read by one system call: 230 KiB of keys and values.
pub(super) const BATCH: usize = 4096;

/// `SESSIONS`, open for reading.
#[derive(Debug)]
pub(super) struct SessionTable {
    map: aya::maps::MapData,
    capacity: u32,
}

impl SessionTable {
    /// Opens the pin. The caller has checked the layout.
    pub(super) fn open(path: &Path) -> Result<Self, MapError> {
        let capacity = MapInfo::from_pin(path)?.max_entries();
        Ok(Self { map: aya::maps::MapData::from_pin(path)?, capacity })
    }

    /// How many entries fit.
    pub(super) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Appends the entries after `from`. See [`raw::lookup_batch`].
    pub(super) fn batch(
        &self,
        from: Option<Cursor>,
        budget: usize,
        out: &mut Vec<(SessionKey, Session)>,
    ) -> io::Result<Option<Cursor>> {
        raw::lookup_batch(&self.map.fd().as_fd(), from, budget, out)
    }

    /// All entries. A session that lives through the walk is seen exactly once: a bucket is read as a whole, and
    /// sessions do not change their bucket. An error ends the walk.
    pub(super) fn iter(&self) -> Sessions<'_> {
        Sessions { table: self, next: Next::Start, ready: VecDeque::new() }
    }
}

/// Where a walk goes on.
#[derive(Debug, Clone, Copy)]
enum Next {
    Start,
    At(Cursor),
    End,
}

/// A walk over the session table.
#[derive(Debug)]
pub struct Sessions<'a> {
    table: &'a SessionTable,
    next: Next,
    ready: VecDeque<(SessionKey, Session)>,
}

impl Iterator for Sessions<'_> {
    type Item = io::Result<(SessionKey, Session)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Some(Ok(entry));
            }
            let from = match self.next {
                Next::Start => None,
                Next::At(cursor) => Some(cursor),
                Next::End => return None,
            };
            // An error ends the walk.
            self.next = Next::End;
            let mut batch = Vec::new();
            match self.table.batch(from, BATCH, &mut batch) {
                Ok(next) => self.next = next.map_or(Next::End, Next::At),
                Err(error) => return Some(Err(error)),
            }
            self.ready = batch.into();
        }
    }
}

/// Whether this session was made by the rule that is gone.
///
/// Behind a hairpin the external side is the pod that was dialled: the elastic IP that was dialled is what the client
/// sees as its peer, and the session's own EIP may belong to a floating IP of the client.
#[must_use]
pub fn ends_with(gone: &EndSessions, key: &SessionKey, session: &Session) -> bool {
    let origin = Origin::from_u32(session.origin);
    let hairpin = origin == Some(Origin::Hairpin);
    match *gone {
        EndSessions::Eip(eip) => key.ext_addr == eip || (hairpin && session.peer_addr == eip),
        EndSessions::Fip { eip, pod } => match origin {
            Some(Origin::Fip) => key.ext_addr == eip && session.int_addr == pod,
            // As the client's own floating IP, or as the one it dialled.
            Some(Origin::Hairpin) => {
                (key.ext_addr == eip && session.int_addr == pod) || (session.peer_addr == eip && key.peer_addr == pod)
            }
            Some(Origin::Snat | Origin::Dnat) | None => false,
        },
        EndSessions::Dnat { key: rule, target } => {
            key.proto == rule.proto
                && match origin {
                    Some(Origin::Dnat) => {
                        (key.ext_addr, key.ext_port) == (rule.eip, rule.port)
                            && (session.int_addr, session.int_port) == (target.addr, target.port)
                    }
                    Some(Origin::Hairpin) => {
                        (session.peer_addr, session.peer_port) == (rule.eip, rule.port)
                            && (key.peer_addr, key.peer_port) == (target.addr, target.port)
                    }
                    Some(Origin::Snat | Origin::Fip) | None => false,
                }
        }
    }
}

#[cfg(test)]
mod tests {
    use natgw_common::abi::{DnatKey, DnatTarget};

    use super::*;

    const EIP: [u8; 4] = [203, 0, 113, 10];
    const EIP2: [u8; 4] = [203, 0, 113, 11];
    const POD: [u8; 4] = [10, 0, 0, 5];
    const POD2: [u8; 4] = [10, 0, 0, 6];
    const PEER: [u8; 4] = [198, 51, 100, 1];
    const P80: [u8; 2] = [0, 80];
    const P8080: [u8; 2] = [0x1f, 0x90];
    const P5555: [u8; 2] = [0x15, 0xb3];

    /// (`ext`, `peer` on the wire, `int`, `peer` as the internal host sees it).
    type Ends = [([u8; 4], [u8; 2]); 4];

    fn session(origin: Origin, [ext, peer, int, seen]: Ends) -> (SessionKey, Session) {
        let key = SessionKey {
            ext_addr: ext.0,
            peer_addr: peer.0,
            ext_port: ext.1,
            peer_port: peer.1,
            proto: 6,
            role: 0,
            _pad: [0; 2],
        };
        let session = Session {
            last_seen_ns: 1,
            created_ns: 1,
            state: 0,
            int_addr: int.0,
            peer_addr: seen.0,
            int_port: int.1,
            peer_port: seen.1,
            origin: origin as u32,
            tag: 0,
        };
        (key, session)
    }

    fn snat() -> (SessionKey, Session) {
        session(Origin::Snat, [(EIP, P5555), (PEER, P80), (POD, P8080), (PEER, P80)])
    }

    fn dnat() -> (SessionKey, Session) {
        session(Origin::Dnat, [(EIP, P80), (PEER, P5555), (POD, P8080), (PEER, P5555)])
    }

    fn fip() -> (SessionKey, Session) {
        session(Origin::Fip, [(EIP, P80), (PEER, P5555), (POD, P80), (PEER, P5555)])
    }

    /// `POD2` dials `EIP`:80 and reaches `POD`:8080; the server sees EIP:5555.
    fn hairpin() -> (SessionKey, Session) {
        session(Origin::Hairpin, [(EIP, P5555), (POD, P8080), (POD2, P5555), (EIP, P80)])
    }

    /// The same, but the client has the floating IP `EIP2`, which is what the server sees.
    fn hairpin_from_fip() -> (SessionKey, Session) {
        session(Origin::Hairpin, [(EIP2, P5555), (POD, P8080), (POD2, P5555), (EIP, P80)])
    }

    fn ends(gone: EndSessions, (key, session): (SessionKey, Session)) -> bool {
        ends_with(&gone, &key, &session)
    }

    fn rule(eip: [u8; 4], port: [u8; 2], proto: u8, target: [u8; 4], target_port: [u8; 2]) -> EndSessions {
        EndSessions::Dnat { key: DnatKey::new(eip, port, proto), target: DnatTarget::new(target, target_port) }
    }

    #[test]
    fn a_removed_eip_ends_every_session_that_carries_or_dials_it() {
        for one in [snat(), dnat(), fip(), hairpin(), hairpin_from_fip()] {
            assert!(ends(EndSessions::Eip(EIP), one), "{one:?}");
        }
        assert!(ends(EndSessions::Eip(EIP2), hairpin_from_fip()));
        for one in [snat(), dnat(), fip(), hairpin()] {
            assert!(!ends(EndSessions::Eip(EIP2), one), "{one:?}");
        }
    }

    #[test]
    fn an_eip_that_is_only_the_peer_of_a_plain_session_does_not_match() {
        let to_other_gateway = session(Origin::Snat, [(EIP, P5555), (EIP2, P80), (POD, P8080), (EIP2, P80)]);
        assert!(!ends(EndSessions::Eip(EIP2), to_other_gateway));
    }

    #[test]
    fn a_removed_fip_ends_its_own_sessions_and_the_hairpins_to_and_from_it() {
        assert!(ends(EndSessions::Fip { eip: EIP, pod: POD }, fip()));
        assert!(ends(EndSessions::Fip { eip: EIP, pod: POD }, hairpin()));
        assert!(ends(EndSessions::Fip { eip: EIP, pod: POD }, hairpin_from_fip()));
        assert!(ends(EndSessions::Fip { eip: EIP2, pod: POD2 }, hairpin_from_fip()));
    }

    #[test]
    fn a_removed_fip_leaves_snat_and_dnat_sessions_and_other_pods_alone() {
        let gone = EndSessions::Fip { eip: EIP, pod: POD };
        assert!(!ends(gone, snat()));
        assert!(!ends(gone, dnat()));
        assert!(!ends(EndSessions::Fip { eip: EIP, pod: POD2 }, fip()));
        assert!(!ends(EndSessions::Fip { eip: EIP, pod: POD2 }, hairpin_from_fip()));
        assert!(!ends(EndSessions::Fip { eip: EIP2, pod: POD }, fip()));
        assert!(!ends(EndSessions::Fip { eip: EIP, pod: PEER }, hairpin()), "a port mapping of the same EIP made it");
    }

    #[test]
    fn a_removed_dnat_ends_the_sessions_to_its_target_also_hairpinned() {
        let gone = rule(EIP, P80, 6, POD, P8080);
        assert!(ends(gone, dnat()));
        assert!(ends(gone, hairpin()));
        assert!(ends(gone, hairpin_from_fip()));
    }

    #[test]
    fn a_removed_dnat_leaves_what_another_rule_made() {
        for other in [
            rule(EIP, P80, 17, POD, P8080),
            rule(EIP2, P80, 6, POD, P8080),
            rule(EIP, P8080, 6, POD, P8080),
            rule(EIP, P80, 6, POD2, P8080),
            rule(EIP, P80, 6, POD, P80),
        ] {
            assert!(!ends(other, dnat()), "{other:?}");
            assert!(!ends(other, hairpin()), "{other:?}");
        }
        assert!(!ends(rule(EIP, P5555, 6, POD, P8080), snat()));
    }

    #[test]
    fn an_unknown_origin_ends_only_with_its_eip() {
        let (key, mut odd) = dnat();
        odd.origin = 99;
        assert!(ends(EndSessions::Eip(EIP), (key, odd)));
        assert!(!ends(rule(EIP, P80, 6, POD, P8080), (key, odd)));
        assert!(!ends(EndSessions::Fip { eip: EIP, pod: POD }, (key, odd)));
    }
}
