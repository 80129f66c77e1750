//! Every type of the map ABI as bytes: what a pinned map holds must be read alike by every later build.
//!
//! A change here is a new `ABI_VERSION` and a migration.
#![expect(clippy::unwrap_used, reason = "a test panics")]

use natgw_common::abi::{
    ABI_VERSION, AbiRecord, Config, ConfigFlags, Counter, DnatKey, DnatTarget, DropReason, EipEntry, EipFlags, Fip,
    FipFlags, FlowKey, MapLayout, Origin, QueryRole, SNAT_POOL_MAX, Session, SessionKey, SessionStat, SnatKey,
    SnatPool, SweepItem, SweepOp, Timeouts, Traffic,
};

mod plain {
    /// The types of the ABI, none of which has padding.
    ///
    /// # Safety
    ///
    /// Every byte of the type is initialised: proven by the asserts of `abi::layout`.
    pub(super) unsafe trait Plain: Copy {}
    macro_rules! plain {
        ($($ty:ty)*) => {
            // SAFETY: `abi::layout` asserts that the fields fill the whole size.
            $(unsafe impl Plain for $ty {})*
        };
    }
    use natgw_common::abi::*;
    plain! {
        AbiRecord Config DnatKey DnatTarget EipEntry Fip FlowKey MapLayout Session SessionKey SnatKey SnatPool SweepItem
        Timeouts Traffic
    }
}

fn bytes<T: plain::Plain>(value: &T) -> Vec<u8> {
    // SAFETY: `Plain` promises that all `size_of::<T>()` bytes of the reference are initialised.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>()) }.to_vec()
}

/// Bytes from hexadecimal with spaces.
fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

const KEY: SessionKey = SessionKey {
    ext_addr: [203, 0, 113, 1],
    peer_addr: [8, 8, 8, 8],
    ext_port: [0x9c, 0x40],
    peer_port: [0, 53],
    proto: 17,
    role: 0,
    _pad: [0; 2],
};
const KEY_BYTES: &str = "cb007101 08080808 9c40 0035 11 00 0000";

#[test]
fn rules() {
    assert_eq!(bytes(&EipEntry { flags: EipFlags::Fip as u32 | EipFlags::Snat as u32 }), hex("05000000"));
    assert_eq!(bytes(&Fip { addr: [10, 0, 0, 9], flags: FipFlags::Stateful as u32 }), hex("0a000009 01000000"));
    assert_eq!(bytes(&DnatKey::new([203, 0, 113, 1], [0, 80], 6)), hex("cb007101 0050 06 00"));
    assert_eq!(bytes(&DnatTarget::new([10, 0, 0, 8], [0x1f, 0x90])), hex("0a000008 1f90 0000"));
    assert_eq!(bytes(&SnatKey { prefix_len: 24, addr: [10, 0, 0, 0] }), hex("18000000 0a000000"));
    let mut pool = SnatPool { count: 2, eips: [[0; 4]; SNAT_POOL_MAX] };
    (pool.eips[0], pool.eips[1]) = ([203, 0, 113, 1], [203, 0, 113, 2]);
    assert_eq!(bytes(&pool), hex(&format!("02000000 cb007101 cb007102 {}", "00000000".repeat(14))));
}

#[test]
fn sessions() {
    assert_eq!(bytes(&KEY), hex(KEY_BYTES));
    let flow = FlowKey {
        int_addr: [10, 0, 0, 5],
        peer_addr: [8, 8, 8, 8],
        int_port: [0x0f, 0xa0],
        peer_port: [0, 53],
        proto: 1,
        role: QueryRole::Peer as u8,
        _pad: [0; 2],
    };
    assert_eq!(bytes(&flow), hex("0a000005 08080808 0fa0 0035 01 02 0000"));
    let session = Session {
        last_seen_ns: 0x0102_0304_0506_0708,
        created_ns: 0x1112_1314_1516_1718,
        state: 3,
        tag: 0xaabb_ccdd,
        int_addr: [10, 0, 0, 5],
        peer_addr: [8, 8, 8, 8],
        int_port: [0x0f, 0xa0],
        peer_port: [0, 53],
        origin: Origin::Hairpin as u32,
    };
    let expected = "0807060504030201 1817161514131211 03000000 ddccbbaa 0a000005 08080808 0fa0 0035 04000000";
    assert_eq!(bytes(&session), hex(expected));
    let item = SweepItem { key: KEY, created_ns: 0x1112_1314_1516_1718 };
    assert_eq!(bytes(&item), hex(&format!("{KEY_BYTES} 1817161514131211")));
    assert_eq!(Session::DEAD, 1 << 63);
}

#[test]
fn the_tag_of_a_key_is_the_same_in_every_build_and_differs_between_neighbours() {
    assert_eq!(KEY.tag(), GOLDEN_TAG);
    let neighbours = [
        SessionKey { ext_port: [0x9c, 0x41], ..KEY },
        SessionKey { peer_port: [0, 54], ..KEY },
        SessionKey { ext_addr: [203, 0, 113, 2], ..KEY },
        SessionKey { peer_addr: [8, 8, 4, 4], ..KEY },
        SessionKey { proto: 6, ..KEY },
        SessionKey { role: 1, ..KEY },
        SessionKey { ext_port: KEY.peer_port, peer_port: KEY.ext_port, ..KEY },
        SessionKey { ext_addr: KEY.peer_addr, peer_addr: KEY.ext_addr, ..KEY },
    ];
    for other in neighbours {
        assert_ne!(other.tag(), KEY.tag(), "{other:?}");
    }
}

#[test]
fn a_ping_and_the_one_it_answers_have_different_tags() {
    for id in [[0, 0], [0, 7], [7, 7], [0xff, 0xff]] {
        let asked = SessionKey { ext_port: id, peer_port: [0; 2], proto: 1, role: QueryRole::Internal as u8, ..KEY };
        let answered = SessionKey { ext_port: [0; 2], peer_port: id, proto: 1, role: QueryRole::Peer as u8, ..KEY };
        assert_ne!(asked.tag(), answered.tag(), "{id:?}");
    }
}

#[test]
fn configuration() {
    let timeouts = Timeouts {
        tcp_established_ns: 1,
        tcp_opening_ns: 2,
        tcp_closing_ns: 3,
        tcp_transitory_ns: 4,
        udp_ns: 5,
        icmp_ns: 6,
        other_ns: 7,
    };
    let times = ["01", "02", "03", "04", "05", "06", "07"].join("00000000000000") + "00000000000000";
    assert_eq!(bytes(&timeouts), hex(&times));
    let config = Config {
        flags: ConfigFlags::Redirect as u32 | ConfigFlags::UnmatchedDrop as u32,
        int_ifindex: 2,
        ext_ifindex: 3,
        port_min: 1024,
        port_max: 65535,
        port_secret: 0x0102_0304_0506_0708,
        timeouts,
        hold_until_ns: 0x1112_1314_1516_1718,
    };
    let head = "03000000 02000000 03000000 0004 ffff 0807060504030201";
    assert_eq!(bytes(&config), hex(&format!("{head} {times} 1817161514131211")));
}

#[test]
fn counters_and_the_record() {
    assert_eq!(bytes(&Traffic { packets: 1, bytes: 2 }), hex("0100000000000000 0200000000000000"));
    let layout = MapLayout {
        name: *b"SESSIONS\0\0\0\0\0\0\0\0",
        kind: 1,
        key_size: 16,
        value_size: 40,
        max_entries: 9,
        flags: 0,
    };
    let golden = "53455353494f4e530000000000000000 01000000 10000000 28000000 09000000 00000000";
    assert_eq!(bytes(&layout), hex(golden));
    let mut record = AbiRecord { version: ABI_VERSION, count: 1, maps: [MapLayout::EMPTY; 24] };
    record.maps[0] = layout;
    let record = bytes(&record);
    assert_eq!(record[..44], hex(&format!("01000000 01000000 {golden}")));
    assert!(record[44..].iter().all(|byte| *byte == 0));
}

#[test]
fn numbers_that_are_stored_or_are_an_index_never_change() {
    assert_eq!([Origin::Snat, Origin::Dnat, Origin::Fip, Origin::Hairpin].map(|origin| origin as u32), [1, 2, 3, 4]);
    for number in 0..6 {
        assert_eq!(Origin::from_u32(number).map(|origin| origin as u32), (1..5).contains(&number).then_some(number));
    }
    assert_eq!([QueryRole::None, QueryRole::Internal, QueryRole::Peer].map(|role| role as u8), [0, 1, 2]);
    assert_eq!([SweepOp::Expired, SweepOp::Ended].map(|op| op as u32), [1, 2]);
    for (number, counter) in (0u32..).zip(Counter::ALL) {
        assert_eq!(*counter as u32, number);
    }
    for (number, reason) in (0u32..).zip(DropReason::ALL) {
        assert_eq!(*reason as u32, number);
    }
    for (number, stat) in (0u32..).zip(SessionStat::ALL) {
        assert_eq!(*stat as u32, number);
    }
    let names = |names: Vec<&str>| names.join(" ");
    assert_eq!(
        names(Counter::ALL.iter().map(|c| c.name()).collect()),
        "fip_in fip_out dnat_in dnat_out snat_in snat_out hairpin_out hairpin_in icmp_error_in icmp_error_out \
         pass_internal pass_external pass_kernel_answers"
    );
    assert_eq!(
        names(DropReason::ALL.iter().map(|r| r.name()).collect()),
        "malformed_ipv4 truncated_l4 fragment unsupported_protocol no_session no_port table_full flow_conflict \
         unmatched icmp_error_no_session icmp_error_malformed rewrite_failed hairpin_ttl migrating"
    );
    assert_eq!(
        names(SessionStat::ALL.iter().map(|s| s.name()).collect()),
        "created reclaimed refused_no_port refused_table_full reopened swept ended index_repaired"
    );
}

/// Of the key above, on a little-endian machine (the only kind that eBPF objects are built for).
const GOLDEN_TAG: u32 = 0x4d18_8395;
