//! The whole gateway against a model that a page can hold: a list of live flows, each with its external tuple.
//!
//! The model does not choose ports; it checks that those chosen are legal, and it predicts everything else.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    frame::*,
    gateway::{Gateway, Out},
    world::SECOND,
};
use crate::{
    abi::{SweepItem, SweepOp},
    nat::{Tuple, sweep},
    wire::proto,
};

/// One step; numbers are small so that flows meet.
#[derive(Debug, Clone)]
enum Step {
    /// Pod, peer, source port.
    Out(u8, u8, u8),
    /// EIP, external port (or the one of the `n`-th flow), peer.
    Back(u8),
    /// Peer, source port, to the mapped port of an EIP.
    Dial(u8, u8, u8),
    Seconds(u16),
    MapPort(u8, bool),
    Snat(u8),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..6, 0u8..2, 0u8..3).prop_map(|(pod, peer, port)| Step::Out(pod, peer, port)),
        4 => any::<u8>().prop_map(Step::Back),
        2 => (0u8..2, 0u8..3, 0u8..2).prop_map(|(peer, port, eip)| Step::Dial(peer, port, eip)),
        2 => (0u16..400).prop_map(Step::Seconds),
        1 => (0u8..3, any::<bool>()).prop_map(|(port, there)| Step::MapPort(port, there)),
        1 => (0u8..2).prop_map(Step::Snat),
        1 => Just(Step::Sweep),
    ]
}

type Socket = ([u8; 4], [u8; 2]);

/// What the outside may know of a flow: address and port of the EIP, and of the peer.
type External = ([u8; 4], [u8; 2], [u8; 4], [u8; 2]);

#[derive(Debug, Clone)]
struct Live {
    /// As the pod sends it.
    inside: Tuple,
    seen: u64,
}

struct Model {
    gateway: Gateway,
    live: BTreeMap<External, Live>,
    now: u64,
    /// EIP and port to pod and port.
    mapped: BTreeMap<Socket, Socket>,
    eip: [u8; 4],
}

const IDLE: u64 = 300;
const EIPS: [&str; 2] = ["203.0.113.1", "203.0.113.2"];
const PORTS: [u16; 4] = [4000, 4001, 4002, 4003];

fn external(flow: &Tuple) -> External {
    (flow.src, flow.sport, flow.dst, flow.dport)
}

impl Model {
    fn new() -> Self {
        let mut gateway = Gateway::with_snat();
        // As many ports as flows of one peer may want, and then some are refused.
        (gateway.0.config.port_min, gateway.0.config.port_max) = (4000, 4003);
        Self { gateway, live: BTreeMap::new(), now: 0, mapped: BTreeMap::new(), eip: addr(EIPS[0]) }
    }

    fn alive(&self, live: &Live) -> bool {
        self.now - live.seen <= IDLE
    }

    /// Whether a packet was sent to where `expected` says.
    fn expect(out: &Out, expected: Option<Tuple>) -> Result<(), TestCaseError> {
        let sent =
            (!out.said.starts_with("pass") && !out.said.starts_with("drop")).then(|| Tuple::of(&out.frame().parse()));
        prop_assert_eq!(sent, expected, "{}", out.said);
        Ok(())
    }

    fn run(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Out(pod, peer, port) => self.out(&Tuple {
                src: [10, 0, 0, 5 + pod],
                dst: [8, 8, 8, peer],
                sport: PORTS[usize::from(port)].to_be_bytes(),
                dport: 53u16.to_be_bytes(),
            })?,
            Step::Back(which) => self.back(which)?,
            Step::Dial(peer, port, eip) => self.dial(&Tuple {
                src: [8, 8, 8, peer],
                dst: addr(EIPS[usize::from(eip)]),
                sport: 53u16.to_be_bytes(),
                dport: PORTS[usize::from(port)].to_be_bytes(),
            })?,
            Step::Seconds(seconds) => {
                self.now += u64::from(seconds);
                self.gateway.seconds(seconds.into());
            }
            Step::MapPort(port, there) => self.map_port(PORTS[usize::from(port)], there),
            Step::Snat(eip) => {
                self.eip = addr(EIPS[usize::from(eip)]);
                self.gateway.0.rules.snat("10.0.0.0/24", &[EIPS[usize::from(eip)]]);
            }
            Step::Sweep => self.sweep(),
        }
        self.compare()
    }

    fn out(&mut self, inside: &Tuple) -> Result<(), TestCaseError> {
        let out = self.gateway.vpc(&udp_of(inside));
        let known = self.live.iter().find(|(_, live)| live.inside == *inside && self.alive(live));
        if let Some((&tuple, _)) = known {
            let (src, sport, dst, dport) = tuple;
            Self::expect(&out, Some(Tuple { src, dst, sport, dport }))?;
            self.refresh(&tuple);
            return Ok(());
        }
        let free = |port: [u8; 2]| {
            let tuple = (self.eip, port, inside.dst, inside.dport);
            !self.mapped.contains_key(&(self.eip, port)) && self.live.get(&tuple).is_none_or(|live| !self.alive(live))
        };
        if out == "drop no_port" {
            // Sixteen throws of a four-sided die may miss a free port, but the sender's own is always tried.
            prop_assert!(!free(inside.sport), "{inside:?} was refused though its port was free");
            return Ok(());
        }
        let left = Tuple::of(&out.frame().parse());
        prop_assert_eq!((left.src, left.dst, left.dport), (self.eip, inside.dst, inside.dport));
        prop_assert!(free(left.sport), "{left:?} belongs to another flow or mapping");
        prop_assert!(!free(inside.sport) || left.sport == inside.sport, "a free source port was not kept");
        self.begin(external(&left), *inside);
        Ok(())
    }

    fn back(&mut self, which: u8) -> Result<(), TestCaseError> {
        let Some((&tuple, live)) = self.live.iter().nth(usize::from(which) % self.live.len().max(1)) else {
            return Ok(());
        };
        let (src, sport, dst, dport) = tuple;
        let reply = Tuple { src, dst, sport, dport }.reversed();
        if !self.alive(live) {
            return self.dial(&reply);
        }
        let inward = live.inside.reversed();
        let out = self.gateway.outside(&udp_of(&reply));
        Self::expect(&out, Some(inward))?;
        self.refresh(&tuple);
        Ok(())
    }

    /// A packet from outside that may belong to a flow, or begin one at a mapping, or neither.
    fn dial(&mut self, packet: &Tuple) -> Result<(), TestCaseError> {
        let tuple = external(&packet.reversed());
        if let Some(live) = self.live.get(&tuple).filter(|live| self.alive(live)) {
            let inward = live.inside.reversed();
            Self::expect(&self.gateway.outside(&udp_of(packet)), Some(inward))?;
            self.refresh(&tuple);
            return Ok(());
        }
        let out = self.gateway.outside(&udp_of(packet));
        let Some(&(pod, port)) = self.mapped.get(&(packet.dst, packet.dport)) else {
            return Self::expect(&out, None);
        };
        let inward = Tuple { dst: pod, dport: port, ..*packet };
        let conflict = self.live.values().any(|live| live.inside == inward.reversed() && self.alive(live));
        if conflict {
            prop_assert_eq!(out, "drop flow_conflict");
            return Ok(());
        }
        Self::expect(&out, Some(inward))?;
        self.begin(tuple, inward.reversed());
        Ok(())
    }

    fn begin(&mut self, tuple: External, inside: Tuple) {
        // The same flow's expired session, if any, and the tuple's: the index has room for one.
        self.live.retain(|_, live| live.inside != inside);
        self.live.insert(tuple, Live { inside, seen: self.now });
    }

    fn refresh(&mut self, tuple: &External) {
        let now = self.now;
        self.live.entry(*tuple).and_modify(|live| live.seen = now);
    }

    /// Adds or removes a mapping on both EIPs; removing one ends its flows at once.
    fn map_port(&mut self, port: u16, there: bool) {
        for eip in EIPS {
            let key = (addr(eip), port.to_be_bytes());
            let target = ([10, 0, 0, 5], 53u16.to_be_bytes());
            if there {
                self.gateway.0.rules.dnat(proto::UDP, &format!("{eip}:{port} > 10.0.0.5:53"));
                self.mapped.insert(key, target);
            } else {
                self.gateway.0.rules.dnat.retain(|of, _| (of.eip, of.port) != key);
                self.mapped.remove(&key);
                for (session_key, session) in self.gateway.0.dump() {
                    let of_it = (session_key.ext_addr, session_key.ext_port) == key
                        && (session.int_addr, session.int_port) == target;
                    if of_it {
                        let item = SweepItem { key: session_key, created_ns: session.created_ns };
                        assert!(sweep(&self.gateway.0, SweepOp::Ended, &item));
                    }
                }
                self.live
                    .retain(|tuple, live| (tuple.0, tuple.1) != key || (live.inside.src, live.inside.sport) != target);
            }
        }
    }

    /// Proposes everything: only what is expired may go.
    fn sweep(&mut self) {
        for (key, session) in self.gateway.0.dump() {
            sweep(&self.gateway.0, SweepOp::Expired, &SweepItem { key, created_ns: session.created_ns });
        }
        let now = self.now;
        self.live.retain(|_, live| now - live.seen <= IDLE);
    }

    /// The maps hold exactly the model's flows, and one index entry for each.
    fn compare(&mut self) -> Result<(), TestCaseError> {
        let now = self.now;
        prop_assert_eq!(self.gateway.0.check_index(), Ok(()));
        let dump: BTreeMap<External, (Tuple, u64)> = self
            .gateway
            .0
            .dump()
            .iter()
            .map(|(key, s)| {
                let inside = Tuple { src: s.int_addr, dst: s.peer_addr, sport: s.int_port, dport: s.peer_port };
                ((key.ext_addr, key.ext_port, key.peer_addr, key.peer_port), (inside, s.last_seen_ns / SECOND - 1000))
            })
            .collect();
        // An expired session may go whenever somebody wants its tuple.
        self.live.retain(|tuple, live| now - live.seen <= IDLE || dump.contains_key(tuple));
        let model: BTreeMap<_, _> = self.live.iter().map(|(tuple, live)| (*tuple, (live.inside, live.seen))).collect();
        prop_assert_eq!(dump, model);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_order_of_packets_time_and_rule_changes_agrees_with_the_model(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut model = Model::new();
        for (number, step) in steps.iter().enumerate() {
            model.run(step).map_err(|wrong| TestCaseError::fail(format!("step {number}, {step:?}: {wrong}")))?;
        }
    }

    /// Any segments in any order from both sides: TCP states come and go, ports are stolen, sessions re-open.
    #[test]
    fn whatever_tcp_does_no_packet_leaves_with_a_private_source_and_no_reply_goes_astray(
        steps in proptest::collection::vec((0u8..4, 0u8..4, any::<bool>(), 0u16..300), 1..150),
    ) {
        let mut gateway = Gateway::with_snat();
        (gateway.0.config.port_min, gateway.0.config.port_max) = (4000, 4001);
        let mut owner: BTreeMap<u16, u8> = BTreeMap::new();
        for (pod, flags, out, seconds) in steps {
            gateway.seconds(seconds.into());
            let flags = [SYN, ACK, FIN | ACK, RST][usize::from(flags)];
            if out {
                let sent = gateway.vpc(&tcp(&format!("10.0.0.{pod}:4000 > 8.8.8.8:80"), flags));
                prop_assert!(!sent.said.starts_with("pass"), "left un-translated: {}", sent.said);
                if !sent.said.starts_with("drop") {
                    prop_assert_eq!(sent.frame().parse().ip.src, [203, 0, 113, 1]);
                    // Whoever sent last from a port owns it.
                    owner.insert(sent.source_port(), pod);
                }
            } else {
                let port = 4000 + u16::from(pod % 2);
                let came = gateway.outside(&tcp(&format!("8.8.8.8:80 > 203.0.113.1:{port}"), flags));
                if came.said.starts_with("internal") {
                    prop_assert_eq!(came.frame().parse().ip.dst, [10, 0, 0, owner[&port]]);
                } else {
                    prop_assert_eq!(came, "pass pass_external");
                }
            }
            prop_assert_eq!(gateway.0.check_index(), Ok(()));
        }
    }
}
