//! A gateway on the host: frames in, sentences and frames out.

use super::{
    apply::{apply, translate_error},
    frame::Frame,
    verify::checksums,
    world::{SECOND, World},
};
use crate::{
    abi::{ConfigFlags, SessionStat},
    nat::{Action, Exit, inbound, outbound, own_error},
    wire::Packet,
};

pub(super) struct Gateway(pub(super) World);

/// What became of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Out {
    /// `external snat_out 203.0.113.1:4000 > 8.8.8.8:80`, `pass pass_internal`, `drop no_port`
    pub(super) said: String,
    frame: Option<Frame>,
}

impl Out {
    /// The frame that left.
    pub(super) fn frame(&self) -> Frame {
        self.frame.clone().unwrap_or_else(|| panic!("nothing left the gateway: {}", self.said))
    }

    /// The source port of the frame that left, or its identifier.
    pub(super) fn source_port(&self) -> u16 {
        u16::from_be_bytes(self.frame().parse().sport)
    }
}

impl PartialEq<&str> for Out {
    fn eq(&self, other: &&str) -> bool {
        self.said == *other
    }
}

impl Gateway {
    pub(super) fn new() -> Self {
        Self(World::new())
    }

    /// With one EIP for one VPC.
    pub(super) fn with_snat() -> Self {
        let mut gateway = Self::new();
        gateway.0.rules.snat("10.0.0.0/24", &["203.0.113.1"]);
        gateway
    }

    pub(super) fn drop_unmatched(&mut self) {
        self.0.config.flags |= ConfigFlags::UnmatchedDrop as u32;
    }

    pub(super) fn vpc(&self, frame: &Frame) -> Out {
        let packet = match Packet::parse(frame.0.as_slice(), 14) {
            Ok(packet) => packet,
            Err(reason) => return Out { said: format!("drop {}", reason.name()), frame: None },
        };
        done(frame, &packet, outbound(&self.0, &packet, || packet.inner(frame.0.as_slice())))
    }

    pub(super) fn outside(&self, frame: &Frame) -> Out {
        let packet = match Packet::parse(frame.0.as_slice(), 14) {
            Ok(packet) => packet,
            Err(reason) => return Out { said: format!("drop {}", reason.name()), frame: None },
        };
        done(frame, &packet, inbound(&self.0, &packet, || packet.inner(frame.0.as_slice())))
    }

    /// What the gateway's own error `frame` looks like once it has left by the external interface.
    pub(super) fn own_error(&self, frame: &Frame) -> Frame {
        let packet = frame.parse();
        let mut bytes = frame.0.clone();
        if let Some(to) = own_error(&self.0, &packet, packet.inner(frame.0.as_slice()).unwrap()) {
            translate_error(&mut bytes, &packet, &to, packet.ip.ttl);
        }
        assert_eq!(checksums(&Frame(bytes.clone())), Ok(()));
        Frame(bytes)
    }

    /// Sends `frames` out one by one and expects these words.
    pub(super) fn table(&self, rows: &[(Side, Frame, &str)]) {
        for (number, (side, frame, expected)) in rows.iter().enumerate() {
            let out = match side {
                Side::Vpc => self.vpc(frame),
                Side::Outside => self.outside(frame),
            };
            assert_eq!(out, *expected, "row {number}: {frame} from {side:?}");
        }
    }

    pub(super) fn stat(&self, stat: SessionStat) -> u64 {
        self.0.stat(stat)
    }

    pub(super) fn seconds(&self, seconds: u64) {
        self.0.pass_time(seconds * SECOND);
    }

    /// How many sessions there are; each must be indexed.
    pub(super) fn sessions(&self) -> usize {
        assert_eq!(self.0.check_index(), Ok(()));
        self.0.dump().len()
    }
}

fn done(frame: &Frame, packet: &Packet, action: Action) -> Out {
    let sent = apply(frame, packet, action);
    if let Some(sent) = &sent {
        let before = checksums(frame);
        assert_eq!(checksums(sent), before, "{frame} became {sent}");
        assert_eq!(sent.0.len(), frame.0.len());
    }
    let said = match (action, &sent) {
        (Action::Translate { count, exit, .. } | Action::TranslateError { count, exit, .. }, Some(sent)) => {
            let way = match exit {
                Exit::External => "external",
                Exit::Internal => "internal",
                Exit::Kernel => "kernel",
            };
            format!("{way} {} {sent}", count.name())
        }
        (Action::Drop(reason), _) => format!("drop {}", reason.name()),
        (Action::Pass(count), _) => format!("pass {}", count.name()),
        (action, None) => unreachable!("{action:?}"),
    };
    Out { said, frame: sent }
}

/// Where a frame comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Vpc,
    Outside,
}
