//! Which sessions a plan ends: those whose rule is gone, and no others.

use natgw_common::{
    abi::{DnatKey, DnatTarget, Origin, Session, SessionKey},
    nat::Action,
    wire::proto::ICMP,
};

use super::{
    gateway::Gateway,
    packets::{Kind, Sent, Side},
    probes::{EPHEMERAL, mapped, tuple},
    table::Table,
    universe::{Addr, EIPS, PEER, PODS},
    worlds::{World, worlds},
};
use crate::{
    core::plan::{Actual, plan},
    datapath::sessions::ends_with,
};

/// What must be there for a session to live on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Eip(Addr),
    Fip { eip: Addr, pod: Addr },
    Dnat(DnatKey, DnatTarget),
}

impl Rule {
    fn is_in(self, maps: &Actual) -> bool {
        match self {
            Self::Eip(eip) => maps.eips.contains_key(&eip),
            Self::Fip { eip, pod } => maps.fip_in.get(&eip).is_some_and(|fip| fip.addr == pod),
            Self::Dnat(key, target) => maps.dnat.get(&key) == Some(&target),
        }
    }
}

/// A session and the rules that made it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) key: SessionKey,
    pub(crate) session: Session,
    rules: Vec<Rule>,
    /// Another rule than the one that was dialled leads to the same place, so it does not matter whether the session
    /// ends when only that one is left.
    twin: Option<Rule>,
}

impl Opened {
    /// Whether it has to end when `maps` are all there is, if that is certain.
    pub(crate) fn must_end(&self, maps: &Actual) -> Option<bool> {
        let gone = !self.rules.iter().all(|rule| rule.is_in(maps));
        let by_twin = gone && self.twin.is_some_and(|twin| twin.is_in(maps));
        (!by_twin).then_some(gone)
    }
}

/// The sessions that new flows open in `world`, one at a time.
pub(crate) fn sessions(world: &World) -> Vec<Opened> {
    let mut opened = Vec::new();
    for kind in [Kind::Syn, Kind::Echo] {
        for eip in EIPS {
            opened.extend(open(world, Side::Outside, kind, ((PEER, EPHEMERAL), (eip, mapped()))));
            for pod in PODS {
                opened.extend(open(world, Side::Vpc, kind, ((pod, EPHEMERAL), (eip, mapped()))));
            }
        }
        for pod in PODS {
            opened.extend(open(world, Side::Vpc, kind, ((pod, EPHEMERAL), (PEER, 443))));
        }
    }
    opened
}

type Ends = ((Addr, u16), (Addr, u16));

fn open(world: &World, side: Side, kind: Kind, (src, dst): Ends) -> Option<Opened> {
    let table = Table::default();
    let action = Gateway::new(&world.maps, &table).send(&Sent::new(side, kind, tuple(src, dst)));
    let [(key, session)] = table.dump().try_into().ok()?;
    assert!(matches!(action, Action::Translate { .. }));
    let origin = Origin::from_u32(session.origin)?;
    let mut rules = vec![Rule::Eip(key.ext_addr)];
    let mut twin = None;
    match origin {
        Origin::Snat => {}
        Origin::Fip => rules.push(Rule::Fip { eip: key.ext_addr, pod: session.int_addr }),
        Origin::Dnat | Origin::Hairpin => {
            // What was dialled leads to the internal host, or behind a hairpin to the peer.
            let (pod, port) = if origin == Origin::Dnat {
                (session.int_addr, session.int_port)
            } else {
                (key.peer_addr, key.peer_port)
            };
            let dialled = dst.1.to_be_bytes();
            let fip = Some(Rule::Fip { eip: dst.0, pod }).filter(|_| port == dialled || key.proto == ICMP);
            let dnat = Some(Rule::Dnat(DnatKey::new(dst.0, dialled, key.proto), DnatTarget::new(pod, port)));
            let by_fip = world.maps.fip_in.contains_key(&dst.0);
            rules.push(Rule::Eip(dst.0));
            rules.extend(if by_fip { fip } else { dnat });
            twin = if by_fip { dnat } else { fip };
            // The client's own.
            if origin == Origin::Hairpin && key.ext_addr != dst.0 {
                rules.push(Rule::Fip { eip: key.ext_addr, pod: src.0 });
            }
        }
    }
    Some(Opened { key, session, rules, twin })
}

#[test]
fn a_plan_ends_the_sessions_whose_rule_is_gone_and_no_others() {
    let worlds = worlds();
    let mut checks = 0;
    for from in &worlds {
        let opened = sessions(from);
        for to in &worlds {
            let end = plan(&to.desired, &from.maps).end;
            for one in &opened {
                checks += 1;
                let ended = end.iter().any(|gone| ends_with(gone, &one.key, &one.session));
                let right = one.must_end(&to.maps).is_none_or(|must| must == ended);
                assert!(right, "ended is {ended}: {one:#?}\nby {end:#?}\n{:#?}\n{:#?}", from.maps, to.maps);
            }
        }
    }
    println!("{} worlds, {checks} sessions judged", worlds.len());
}
