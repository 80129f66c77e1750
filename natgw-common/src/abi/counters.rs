//! The per-CPU counters. Numbers are stable: a new one goes to the end.

/// Value of `COUNTERS` and `DROPS`, one per CPU.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Packets; a GSO packet counts once.
    pub packets: u64,
    /// Bytes from the IP header on.
    pub bytes: u64,
}

macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $number:literal => $label:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum $name { $($(#[$vmeta])* $variant = $number,)* }

        impl $name {
            /// Every value in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// How many there are: the length of the map.
            #[expect(clippy::cast_possible_truncation, reason = "a few dozen")]
            pub const COUNT: u32 = Self::ALL.len() as u32;

            /// The stable name used by `natgw status`, the metrics and the docs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }
    };
}
pub(super) use numbered;

numbered! {
    /// Index of `COUNTERS`: translated and passed traffic per rule kind and direction.
    Counter {
        /// External to pod by a floating IP.
        FipIn = 0 => "fip_in",
        /// Pod to external by a floating IP.
        FipOut = 1 => "fip_out",
        /// External to pod by a DNAT session.
        DnatIn = 2 => "dnat_in",
        /// Replies of DNAT sessions.
        DnatOut = 3 => "dnat_out",
        /// Replies of SNAT sessions.
        SnatIn = 4 => "snat_in",
        /// VPC to external by an SNAT session.
        SnatOut = 5 => "snat_out",
        /// VPC client to the EIP it dialled.
        HairpinOut = 6 => "hairpin_out",
        /// The dialled pod's replies.
        HairpinIn = 7 => "hairpin_in",
        /// ICMP errors translated towards the VPC.
        IcmpErrorIn = 8 => "icmp_error_in",
        /// ICMP errors translated towards the outside.
        IcmpErrorOut = 9 => "icmp_error_out",
        /// IPv4 packets of the internal interface passed un-translated.
        PassInternal = 10 => "pass_internal",
        /// IPv4 packets of the external interface passed un-translated (the gateway's own stack, EIPs without a rule).
        PassExternal = 11 => "pass_external",
        /// Packets passed un-translated so that the kernel answers the sender (TTL, MTU).
        PassKernelAnswers = 12 => "pass_kernel_answers",
    }
}

numbered! {
    /// Index of `SESSION_STATS` (`u64`, per CPU).
    SessionStat {
        /// Sessions created.
        Created = 0 => "created",
        /// Expired or closed sessions replaced at allocation.
        Reclaimed = 1 => "reclaimed",
        /// New flows refused: no external port was free.
        RefusedNoPort = 2 => "refused_no_port",
        /// New flows refused: a session map is full.
        RefusedTableFull = 3 => "refused_table_full",
        /// Closed or reset TCP sessions re-opened by a SYN.
        Reopened = 4 => "reopened",
        /// Expired sessions removed by the sweeper.
        Swept = 5 => "swept",
        /// Sessions ended because their rule was removed.
        Ended = 6 => "ended",
        /// Index entries repaired: the session existed, its `FLOWS` entry did not.
        IndexRepaired = 7 => "index_repaired",
    }
}
