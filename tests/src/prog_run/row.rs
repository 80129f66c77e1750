//! One row of a fixture table.

use std::collections::BTreeMap;

use natgw_common::abi::{Config, Counter, DropReason, SessionStat, SweepOp};

use super::{
    frame::Pkt,
    rig::{Program, Rig},
    ruleset::RuleSet,
    session::Flow,
};

/// What a program returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// `TC_ACT_UNSPEC`: the kernel goes on with it.
    Unspec,
    /// `TC_ACT_SHOT`
    Shot,
    /// `TC_ACT_REDIRECT`
    Redirect,
    /// `natgw_sweep`: so many sessions were removed.
    Removed(i32),
}

impl Verdict {
    /// The number.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Unspec => -1,
            Self::Shot => 2,
            Self::Redirect => 7,
            Self::Removed(count) => count,
        }
    }
}

/// The frame after the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    /// As it was.
    Same,
    /// Exactly this.
    Frame(Vec<u8>),
    /// A dropped packet that may be half rewritten.
    Any,
}

/// The frame before the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum In {
    Frame(Vec<u8>),
    /// The input of `natgw_sweep`: operation, sessions named by key and creation time, and how many to announce.
    Sweep(u32, Vec<Flow>, u32),
}

/// How much each counter grows. Those not listed must not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// By one packet each.
    pub counters: Vec<Counter>,
    /// By one packet each.
    pub drops: Vec<DropReason>,
    /// By so much.
    pub stats: BTreeMap<SessionStat, u64>,
}

/// What is there before, and what must be there afterwards.
#[derive(Debug, Clone)]
pub struct Row {
    /// In words.
    pub what: &'static str,
    pub(super) program: Program,
    pub(super) rules: RuleSet,
    pub(super) config: Config,
    pub(super) configured: bool,
    pub(super) input: In,
    pub(super) ingress: Option<u32>,
    pub(super) checksum_complete: bool,
    pub(super) before: Vec<Flow>,
    pub(super) verdict: Verdict,
    pub(super) out: Out,
    pub(super) after: Option<Vec<Flow>>,
    /// The counters.
    pub counts: Counts,
    pub(super) bytes: Option<u64>,
}

impl Row {
    /// `program` gets these bytes and, unless something else is said, leaves them and everything else alone.
    #[must_use]
    pub fn bytes(what: &'static str, program: Program, frame: Vec<u8>) -> Self {
        Self {
            what,
            program,
            rules: RuleSet::none(),
            config: Rig::config(),
            configured: true,
            input: In::Frame(frame),
            ingress: (program == Program::ExtOut).then_some(0),
            checksum_complete: true,
            before: Vec::new(),
            verdict: Verdict::Unspec,
            out: Out::Same,
            after: None,
            counts: Counts::default(),
            bytes: None,
        }
    }

    /// `natgw_int_in` gets `packet`.
    #[must_use]
    pub fn int_in(what: &'static str, packet: &Pkt) -> Self {
        Self::bytes(what, Program::IntIn, packet.frame())
    }

    /// `natgw_ext_in` gets `packet`.
    #[must_use]
    pub fn ext_in(what: &'static str, packet: &Pkt) -> Self {
        Self::bytes(what, Program::ExtIn, packet.clone().external().frame())
    }

    /// `natgw_ext_out` gets `packet`, made by this machine.
    #[must_use]
    pub fn ext_out(what: &'static str, packet: &Pkt) -> Self {
        Self::bytes(what, Program::ExtOut, packet.clone().external().frame())
    }

    /// `natgw_sweep` gets these sessions proposed and removes `removed` of them.
    ///
    /// # Panics
    /// When there are more than fit into a number.
    #[must_use]
    pub fn sweep(what: &'static str, op: SweepOp, items: &[Flow], removed: i32) -> Self {
        let count = u32::try_from(items.len()).expect("a few items");
        Self::sweep_raw(what, op as u32, items, count).verdict(Verdict::Removed(removed))
    }

    /// As [`Row::sweep`], with any operation and announced count; removes nothing.
    #[must_use]
    pub fn sweep_raw(what: &'static str, op: u32, items: &[Flow], announced: u32) -> Self {
        Self {
            input: In::Sweep(op, items.to_vec(), announced),
            verdict: Verdict::Removed(0),
            ..Self::bytes(what, Program::Sweep, Vec::new())
        }
    }

    /// With these rules.
    #[must_use]
    pub fn rules(self, rules: RuleSet) -> Self {
        Self { rules, ..self }
    }

    /// With another configuration.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Before the daemon has written `CONFIG`.
    #[must_use]
    pub fn not_configured(self) -> Self {
        Self { configured: false, ..self }
    }

    /// The packet came in by the interface with this index.
    #[must_use]
    pub fn ingress(self, ifindex: u32) -> Self {
        Self { ingress: Some(ifindex), ..self }
    }

    /// Not run with a `CHECKSUM_COMPLETE` packet, whose sum covers bytes that no checksum of the packet does.
    #[must_use]
    pub fn not_complete(self) -> Self {
        Self { checksum_complete: false, ..self }
    }

    /// With these sessions.
    #[must_use]
    pub fn before(self, flows: impl Into<Vec<Flow>>) -> Self {
        Self { before: flows.into(), ..self }
    }

    /// Ends with exactly these sessions (else: with those from before, untouched).
    #[must_use]
    pub fn after(self, flows: impl Into<Vec<Flow>>) -> Self {
        Self { after: Some(flows.into()), ..self }
    }

    /// Returns this.
    #[must_use]
    pub fn verdict(self, verdict: Verdict) -> Self {
        Self { verdict, ..self }
    }

    /// Is redirected as `packet` (whose hardware addresses do not matter) and counted.
    #[must_use]
    pub fn redirects(self, packet: &Pkt, count: Counter) -> Self {
        self.becomes(packet).verdict(Verdict::Redirect).counts(count)
    }

    /// Is translated to `packet` and left to the kernel.
    #[must_use]
    pub fn hands_over(self, packet: &Pkt, count: Counter) -> Self {
        self.becomes(packet).counts(count)
    }

    /// Becomes `packet`; nothing is counted.
    #[must_use]
    pub fn becomes(self, packet: &Pkt) -> Self {
        let mut frame = packet.frame();
        if let In::Frame(before) = &self.input {
            frame[..14].copy_from_slice(&before[..14]);
        }
        Self { out: Out::Frame(frame), ..self }
    }

    /// The 16-bit checksums at these offsets are one more than they should be, before and after, in one's complement.
    ///
    /// # Panics
    /// When the row has no frame.
    #[must_use]
    pub fn damaged(mut self, offsets: &[usize]) -> Self {
        let damage = |frame: &mut [u8]| {
            for &at in offsets {
                let sum = u32::from(u16::from_be_bytes([frame[at], frame[at + 1]])) + 1;
                let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).expect("folded");
                frame[at..at + 2].copy_from_slice(&folded.to_be_bytes());
            }
        };
        let In::Frame(frame) = &mut self.input else { panic!("`{}` has no frame", self.what) };
        damage(frame);
        if let Out::Frame(frame) = &mut self.out {
            damage(frame);
        }
        self
    }

    /// Is followed by `padding` in its frame, before and after, which counts for nothing.
    ///
    /// # Panics
    /// When the row has no frame.
    #[must_use]
    pub fn padded(mut self, padding: &[u8]) -> Self {
        let In::Frame(frame) = &mut self.input else { panic!("`{}` has no frame", self.what) };
        let bytes = frame.len() as u64 - 14;
        frame.extend(padding);
        if let Out::Frame(frame) = &mut self.out {
            frame.extend(padding);
        }
        self.counted_bytes(bytes)
    }

    /// Passes un-translated and is counted.
    #[must_use]
    pub fn passes(self, count: Counter) -> Self {
        self.counts(count)
    }

    /// Is dropped and counted.
    #[must_use]
    pub fn drops(mut self, reason: DropReason) -> Self {
        self.counts.drops.push(reason);
        self.verdict(Verdict::Shot)
    }

    /// Whatever the frame is afterwards.
    #[must_use]
    pub fn any_frame(self) -> Self {
        Self { out: Out::Any, ..self }
    }

    /// One packet is counted.
    #[must_use]
    pub fn counts(mut self, counter: Counter) -> Self {
        self.counts.counters.push(counter);
        self
    }

    /// A session event is counted.
    #[must_use]
    pub fn stat(mut self, stat: SessionStat) -> Self {
        *self.counts.stats.entry(stat).or_default() += 1;
        self
    }

    /// Counters grow by so many bytes, not by those of the frame.
    #[must_use]
    pub fn counted_bytes(self, bytes: u64) -> Self {
        Self { bytes: Some(bytes), ..self }
    }
}
