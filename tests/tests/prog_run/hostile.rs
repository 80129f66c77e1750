//! Hostile bytes: any frame gets a defined verdict, is counted once, and no map outgrows its limit.
//!
//! `NATGW_SEED=<number>` repeats a run.

use std::{
    env,
    time::{SystemTime, UNIX_EPOCH},
};

use natgw_common::tcp_state::TcpState;
use natgw_tests::{
    packet::{Checksum, Packet, Transport},
    prog_run::{
        EIP, EIP2, EIP3, EXT_ADDR, EXT_MAC, FAR_POD, Flow, HOP, INT_MAC, Input, L4, PEER, PEER2, POD, POD2, Pkt,
        Program, Rig, RuleSet, Snapshot, TestRunError,
    },
};

use crate::support::{GRE, TCP, UDP};

const RUNS: u32 = 60_000;

/// `SplitMix64`: small, and the same everywhere for one seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % limit as u64).unwrap()
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn byte(&mut self) -> u8 {
        self.roll().to_le_bytes()[0]
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }
}

fn rules() -> RuleSet {
    RuleSet::none()
        .fip(EIP, POD)
        .dnat(TCP, (EIP2, 80), (POD2, 8080))
        .dnat(UDP, (EIP2, 53), (POD2, 53))
        .snat([10, 0, 0, 0], 8, &[EIP2, EIP3])
        .stateful_fip(EIP3, [10, 0, 0, 30])
}

/// A packet with every checksum right, between places that the rules know.
fn packet(dice: &mut Dice, depth: usize) -> Pkt {
    let addresses = [POD, POD2, FAR_POD, PEER, PEER2, EIP, EIP2, EIP3, EXT_ADDR, HOP, [10, 0, 0, 30]];
    let ports = [1, 53, 80, 8080, 40000, 65535];
    let (src, dst) = ((dice.pick(&addresses), dice.pick(&ports)), (dice.pick(&addresses), dice.pick(&ports)));
    let errors = [(3, 0), (3, 1), (3, 3), (3, 4), (4, 0), (11, 0), (11, 1), (12, 0)];
    let mut packet = match dice.below(if depth == 0 { 7 } else { 6 }) {
        0 | 1 => {
            let flags = dice.pick(&["S", "SA", "A", "AP", "FA", "R", "RA"]);
            Pkt::tcp(flags, src, dst)
        }
        2 => Pkt::udp(src, dst),
        3 => Pkt::new(L4::UdpWithoutChecksum, src, dst),
        4 => {
            let kind = dice.pick(&[0, 8, 13, 14, 9, 40]);
            Pkt::echo(kind, src.0, dst.0, src.1)
        }
        5 => {
            let proto = dice.pick(&[GRE, 50, 132, 2, 89]);
            Pkt::raw(proto, src.0, dst.0)
        }
        _ => {
            let inner = self::packet(dice, depth + 1);
            let kind = dice.pick(&errors);
            let error = Pkt::error(kind, src.0, dst.0, inner);
            if dice.one_in(2) { error.quoting(8) } else { error }
        }
    };
    packet.ttl = dice.pick(&[0, 1, 2, 64, 255]);
    packet.df = dice.one_in(2);
    packet.tos = dice.byte();
    if !matches!(packet.l4, L4::Error { .. }) {
        let len = dice.pick(&[0, 1, 8, 100, 700, 1400]);
        packet.payload = dice.bytes(if depth == 0 { len } else { len.min(64) });
    }
    if dice.one_in(6) {
        packet = packet.options();
    }
    if depth == 0 && dice.one_in(8) {
        let offset = dice.pick(&[0, 1, 100]);
        packet = packet.fragment(offset, offset == 0 || dice.one_in(2));
    }
    packet
}

/// Everything that was counted for a packet.
fn judged(now: &Snapshot) -> u64 {
    now.counters.iter().chain(&now.drops).map(|traffic| traffic.packets).sum()
}

struct Arena<'a> {
    rig: &'a Rig,
    seed: u64,
    judged: u64,
    refused: u64,
}

impl Arena<'_> {
    /// Runs `frame` and checks what holds for every frame.
    fn run(&mut self, program: Program, frame: &[u8]) -> Option<(i32, Vec<u8>)> {
        let (int, ext) = self.rig.ifindexes();
        let ifindex = if program == Program::IntIn { int } else { ext };
        let ingress_ifindex = if program == Program::ExtOut { 0 } else { ifindex };
        let output = match self.rig.run(program, &Input { ingress_ifindex, ..Input::new(frame, ifindex) }) {
            Ok(output) => output,
            // BPF_PROG_TEST_RUN itself refuses less than an IP header, or more than a page.
            Err(TestRunError::Failed(error)) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.refused += 1;
                return None;
            }
            Err(error) => panic!("{error}: {frame:02x?} (NATGW_SEED={})", self.seed),
        };
        let allowed: &[i32] = if program == Program::ExtOut { &[-1, 2] } else { &[-1, 2, 7] };
        let verdict = output.verdict;
        assert!(allowed.contains(&verdict), "{program:?}: {verdict}: {frame:02x?} (NATGW_SEED={})", self.seed);
        assert_eq!(output.frame.len(), frame.len(), "{program:?}: {frame:02x?} (NATGW_SEED={})", self.seed);
        assert_eq!(output.frame[..14], frame[..14]);
        // What the gateway itself sends is counted only when it is dropped.
        if program != Program::ExtOut || verdict == 2 {
            self.judged += 1;
        }
        Some((verdict, output.frame))
    }
}

#[test]
fn hostile_bytes_get_a_defined_verdict_and_valid_packets_stay_valid() {
    let seed = env::var("NATGW_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap());
    println!("NATGW_SEED={seed}");
    let mut dice = Dice(seed);
    let mut rig = Rig::new(512);
    rig.set_config(&Rig::config());
    rig.set_rules(&rules());
    rig.set_sessions(
        &[
            Flow::dnat(TCP, (POD2, 8080), (EIP2, 80), (PEER, 40000)).state(TcpState::Established),
            Flow::snat(UDP, (POD2, 40000), (EIP2, 40000), (PEER, 53)),
            Flow::hairpin(TCP, (FAR_POD, 1), (EIP2, 80), (EIP2, 1), (POD2, 8080)),
        ],
        Rig::now(),
    );
    let rig = &rig;
    let (judged_runs, refused, translated) = rig.netns().run(|| {
        let mut arena = Arena { rig, seed, judged: 0, refused: 0 };
        let mut translated = 0;
        for _ in 0..RUNS {
            let program = dice.pick(&[Program::IntIn, Program::ExtIn, Program::ExtIn, Program::IntIn, Program::ExtOut]);
            let mac = if program == Program::IntIn { INT_MAC } else { EXT_MAC };
            let valid = Pkt { mac, ..packet(&mut dice, 0) };
            let mut frame = valid.frame();
            match dice.below(4) {
                // Nothing but noise.
                0 => {
                    let len = 20 + dice.below(120);
                    frame = [&frame[..14], &dice.bytes(len)].concat();
                    if dice.one_in(2) {
                        frame[14] = 0x45 + dice.byte() % 11;
                        frame[23] = dice.pick(&[1, 6, 17, 33, 136]);
                    }
                }
                // A valid packet with some bytes changed, perhaps cut short.
                1 => {
                    for _ in 0..=dice.below(4) {
                        let at = 14 + dice.below(frame.len() - 14);
                        frame[at] = dice.byte();
                    }
                    if dice.one_in(3) {
                        frame.truncate(34.max(dice.below(frame.len() + 1)).min(frame.len()));
                    }
                }
                _ => {}
            }
            let untouched = frame == valid.frame();
            let Some((verdict, after)) = arena.run(program, &frame) else { continue };
            if untouched && verdict != 2 && after != frame {
                translated += 1;
                match Packet::parse(&after[14..]) {
                    Err(error) => panic!("{program:?} broke {valid:?}: {error} (NATGW_SEED={seed})"),
                    Ok(Packet { transport: Transport::IcmpError { inner, .. }, .. }) => {
                        assert_ne!(inner.checksum, Checksum::WrongInside, "{valid:?} (NATGW_SEED={seed})");
                    }
                    Ok(_) => {}
                }
                let hop = u8::from(verdict == 7);
                assert_eq!(after[22], frame[22].wrapping_sub(hop), "{program:?} {valid:?} (NATGW_SEED={seed})");
                assert_eq!((&after[15..22], after[23]), (&frame[15..22], frame[23]), "{valid:?} (NATGW_SEED={seed})");
            }
        }
        (arena.judged, arena.refused, translated)
    });
    let now = rig.snapshot();
    assert_eq!(judged(&now), judged_runs, "every packet is counted once (NATGW_SEED={seed})");
    assert!(now.sessions.len() <= 512 && now.flows.len() <= 512, "{} {}", now.sessions.len(), now.flows.len());
    println!("{translated} valid packets translated, {} sessions, {refused} refused by the kernel", now.sessions.len());
    assert!(translated > u64::from(RUNS) / 40, "only {translated} packets were translated");
}
