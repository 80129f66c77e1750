//! Why a packet was dropped. The numbers are the index of `DROPS` and documented in `docs/drop-reasons.md`.

use super::counters::numbered;

numbered! {
    /// Index of `DROPS`.
    DropReason {
        /// The IPv4 header or its length fields contradict the packet.
        MalformedIpv4 = 0 => "malformed_ipv4",
        /// The transport header is cut short.
        TruncatedL4 = 1 => "truncated_l4",
        /// A fragment of a flow that needs ports to be translated.
        Fragment = 2 => "fragment",
        /// A protocol without ports: another internal host already speaks it with this peer behind the same EIP.
        UnsupportedProtocol = 3 => "unsupported_protocol",
        /// A TCP FIN or RST or an ICMP reply of no known session: it cannot begin one, nor leave with a private source.
        NoSession = 4 => "no_session",
        /// Every probed port of the EIP is in use towards this peer.
        NoPort = 5 => "no_port",
        /// `SESSIONS` or `FLOWS` is full; live sessions are never removed to make room (RFC 6888 REQ-11D).
        TableFull = 6 => "table_full",
        /// Another live session already uses the tuple the pod would see.
        FlowConflict = 7 => "flow_conflict",
        /// No rule matches and `--unmatched drop` is set.
        Unmatched = 8 => "unmatched",
        /// An ICMP error whose inner packet belongs to no session or rule (RFC 5508 REQ-4).
        IcmpErrorNoSession = 9 => "icmp_error_no_session",
        /// An ICMP error whose inner packet cannot be parsed.
        IcmpErrorMalformed = 10 => "icmp_error_malformed",
        /// The packet could not be rewritten (helper error).
        RewriteFailed = 11 => "rewrite_failed",
        /// A hairpinned packet whose TTL ends here: the kernel cannot answer it.
        HairpinTtl = 12 => "hairpin_ttl",
        /// A new flow while sessions move to maps of another layout; its sender tries again.
        Migrating = 13 => "migrating",
    }
}
