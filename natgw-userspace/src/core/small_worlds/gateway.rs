//! The real translation over the model's rule maps: what the programs would do with one packet.

use std::cell::Cell;

use natgw_common::{
    abi::{
        Config, Counter, DnatKey, DnatTarget, DropReason, EipEntry, Fip, FlowKey, Session, SessionKey, SessionStat,
        SnatPool, Timeouts,
    },
    nat::{Action, Env, ErrorRewrite, Exit, Inserted, Tuple, inbound, outbound},
    wire::Packet,
};

use super::{
    packets::{Sent, Side},
    table::{Slot, Table},
    universe::{Cells, EIPS, MAPPED, PODS},
};
use crate::core::plan::Actual;

const CONFIG: Config = Config {
    flags: 0,
    int_ifindex: 2,
    ext_ifindex: 3,
    port_min: 1024,
    port_max: 65535,
    port_secret: 0x5eed,
    timeouts: Timeouts::DEFAULT,
    hold_until_ns: 0,
};

/// Rules and sessions; the clock stands still.
pub(super) struct Gateway<'a> {
    rules: &'a Actual,
    table: &'a Table,
    random: Cell<u32>,
    /// Which rule entries decided.
    read: Cell<Cells>,
}

impl<'a> Gateway<'a> {
    pub(super) fn new(rules: &'a Actual, table: &'a Table) -> Self {
        Self { rules, table, random: Cell::new(0x1234_5678), read: Cell::default() }
    }

    /// Which rule entries have been read so far.
    pub(super) fn read(&self) -> Cells {
        self.read.get()
    }

    pub(super) fn send(&self, sent: &Sent) -> Action {
        let inner = || sent.inner.ok_or(DropReason::IcmpErrorMalformed);
        match sent.side {
            Side::Vpc => outbound(&self, &sent.packet, inner),
            Side::Outside => inbound(&self, &sent.packet, inner),
        }
    }

    fn note(&self, cells: Cells) {
        self.read.set(self.read.get().with(cells));
    }

    /// Addresses outside the universe have no entries.
    fn note_one(&self, all: &[[u8; 4]], wanted: [u8; 4], cells: fn(usize) -> Cells) {
        if let Some(place) = all.iter().position(|one| *one == wanted) {
            self.note(cells(place));
        }
    }
}

impl<'a> Env for &Gateway<'a> {
    type Cell = &'a Slot;
    type Verdict = Action;

    fn pass(&self, count: Counter) -> Action {
        Action::Pass(count)
    }
    fn drop(&self, reason: DropReason) -> Action {
        Action::Drop(reason)
    }
    fn translate(&self, to: Tuple, count: Counter, exit: Exit) -> Action {
        Action::Translate { to, count, exit }
    }
    fn translate_error(&self, to: ErrorRewrite, count: Counter, exit: Exit) -> Action {
        Action::TranslateError { to, count, exit }
    }
    fn config(&self) -> &Config {
        &CONFIG
    }
    fn now(&self) -> u64 {
        1_000_000_000_000
    }
    fn random(&self) -> u32 {
        let next = self.random.get().wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.random.set(next);
        next
    }
    /// 10/8 is the VPC, the EIPs are the gateway's own, all else is outside.
    fn route(&self, packet: &Packet) -> Exit {
        match packet.ip.dst {
            dst if self.eip(dst).is_some() => Exit::Kernel,
            [10, ..] => Exit::Internal,
            _ => Exit::External,
        }
    }
    fn eip(&self, addr: [u8; 4]) -> Option<EipEntry> {
        self.note_one(&EIPS, addr, Cells::eip);
        self.rules.eips.get(&addr).copied()
    }
    fn fip_in(&self, eip: [u8; 4]) -> Option<Fip> {
        self.note_one(&EIPS, eip, Cells::fip_in);
        self.rules.fip_in.get(&eip).copied()
    }
    fn fip_out(&self, pod: [u8; 4]) -> Option<Fip> {
        self.note_one(&PODS, pod, Cells::fip_out);
        self.rules.fip_out.get(&pod).copied()
    }
    fn dnat(&self, key: &DnatKey) -> Option<DnatTarget> {
        if (key.port, key.proto) == (MAPPED, 6) {
            self.note_one(&EIPS, key.eip, Cells::dnat);
        }
        self.rules.dnat.get(key).copied()
    }
    fn snat(&self, src: [u8; 4]) -> Option<&SnatPool> {
        self.note(Cells::SNAT);
        let src = u32::from_be_bytes(src);
        let covers = |len: u32, net: [u8; 4]| (src ^ u32::from_be_bytes(net)).checked_shr(32 - len).unwrap_or(0) == 0;
        // The keys are in the order of their prefix length.
        self.rules.snat.iter().rev().find(|(key, _)| covers(key.prefix_len, key.addr)).map(|(_, pool)| pool)
    }
    fn session(&self, key: &SessionKey) -> Option<&'a Slot> {
        self.table.session(key)
    }
    fn flow(&self, key: &FlowKey) -> Option<SessionKey> {
        self.table.flow(key).copied()
    }
    fn insert_session(&self, key: &SessionKey, value: &Session) -> Inserted {
        self.table.insert_session(key, value)
    }
    fn insert_flow(&self, key: &FlowKey, value: &SessionKey) -> Inserted {
        self.table.insert_flow(key, value)
    }
    fn remove_session(&self, key: &SessionKey) {
        self.table.remove_session(key);
    }
    fn remove_flow(&self, key: &FlowKey) {
        self.table.remove_flow(key);
    }
    fn count(&self, _: SessionStat) {}
}
