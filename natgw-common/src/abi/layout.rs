//! Compile-time proof of the layouts, and the `aya::Pod` impls that rest on it.

use core::mem::{align_of, offset_of, size_of};

use super::{
    AbiRecord, Config, DnatKey, DnatTarget, EipEntry, Fip, FlowKey, MapLayout, Session, SessionKey, SnatKey, SnatPool,
    SweepItem, Timeouts, Traffic,
};

macro_rules! layout {
    ($($ty:ty: size $size:literal align $align:literal { $($field:ident @ $offset:literal),* $(,)? })*) => {
        $(const _: () = {
            assert!(size_of::<$ty>() == $size);
            assert!(align_of::<$ty>() == $align);
            $(assert!(offset_of!($ty, $field) == $offset);)*
        };

        // SAFETY: the asserts above pin the layout; every field is an integer or a byte array and the fields fill the
        // whole size (each offset plus its field's size is the next offset), so any bit pattern is a value and no
        // padding is read.
        #[cfg(feature = "user")]
        #[expect(unsafe_code, reason = "the one place where the ABI is declared plain data")]
        unsafe impl aya::Pod for $ty {})*
    };
}

layout! {
    Timeouts: size 56 align 8 {
        tcp_established_ns @ 0, tcp_opening_ns @ 8, tcp_closing_ns @ 16, tcp_transitory_ns @ 24, udp_ns @ 32,
        icmp_ns @ 40, other_ns @ 48,
    }
    Config: size 88 align 8 {
        flags @ 0, int_ifindex @ 4, ext_ifindex @ 8, port_min @ 12, port_max @ 14, port_secret @ 16, timeouts @ 24,
        hold_until_ns @ 80,
    }
    EipEntry: size 4 align 4 { flags @ 0 }
    Fip: size 8 align 4 { addr @ 0, flags @ 4 }
    DnatTarget: size 8 align 4 { addr @ 0, port @ 4, _pad @ 6 }
    SnatKey: size 8 align 4 { prefix_len @ 0, addr @ 4 }
    SnatPool: size 68 align 4 { count @ 0, eips @ 4 }
    SessionKey: size 16 align 4 {
        ext_addr @ 0, peer_addr @ 4, ext_port @ 8, peer_port @ 10, proto @ 12, role @ 13, _pad @ 14,
    }
    FlowKey: size 16 align 4 {
        int_addr @ 0, peer_addr @ 4, int_port @ 8, peer_port @ 10, proto @ 12, role @ 13, _pad @ 14,
    }
    SweepItem: size 24 align 8 { key @ 0, created_ns @ 16 }
    Traffic: size 16 align 8 { packets @ 0, bytes @ 8 }
    MapLayout: size 36 align 4 { name @ 0, kind @ 16, key_size @ 20, value_size @ 24, max_entries @ 28, flags @ 32 }
    AbiRecord: size 872 align 4 { version @ 0, count @ 4, maps @ 8 }
}

#[cfg(not(feature = "abi-next"))]
layout! {
    DnatKey: size 8 align 4 { eip @ 0, port @ 4, proto @ 6, _pad @ 7 }
    Session: size 40 align 8 {
        last_seen_ns @ 0, created_ns @ 8, state @ 16, tag @ 20, int_addr @ 24, peer_addr @ 28, int_port @ 32, peer_port @ 34,
        origin @ 36,
    }
}

#[cfg(feature = "abi-next")]
layout! {
    DnatKey: size 12 align 4 { zone @ 0, eip @ 4, port @ 8, proto @ 10, _pad @ 11 }
    Session: size 48 align 8 {
        made_by @ 0, last_seen_ns @ 8, created_ns @ 16, state @ 24, tag @ 28, int_addr @ 32, peer_addr @ 36, int_port @ 40,
        peer_port @ 42, origin @ 44,
    }
}
