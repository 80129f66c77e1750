//! `natgw_sweep`: user space proposes, the kernel looks again and removes.

use natgw_common::abi::{
    SessionStat::{Ended, Swept},
    SweepOp,
};
use natgw_tests::prog_run::{Age, EIP, End, Flow, PEER, POD, POD2, Row, Verdict, check_all};

use crate::support::{ICMP, TCP, UDP};

const CLIENT: End = (POD, 40000);
const SHOWN: End = (EIP, 40000);

fn udp(age: u64) -> Flow {
    Flow::snat(UDP, CLIENT, SHOWN, (PEER, 53)).aged(age)
}

fn tcp(age: u64) -> Flow {
    Flow::dnat(TCP, (POD, 8080), (EIP, 80), (PEER, 999)).aged(age)
}

pub(crate) fn rows() -> Vec<Row> {
    let ping = Flow::fip(ICMP, (POD2, 0), (EIP, 0), (PEER, 7)).asked_by_peer().aged(5);
    let refreshed = Flow { last: Age::Seconds(1), ..udp(20) };
    let younger = Flow { created: Age::Seconds(3), last: Age::Seconds(3), ..udp(20) };
    let expired = SweepOp::Expired;
    let ended = SweepOp::Ended;
    vec![
        Row::sweep("an expired session goes, with its index entry", expired, &[udp(11)], 1)
            .before([udp(11), tcp(11)])
            .stat(Swept)
            .after([tcp(11)]),
        Row::sweep("several at once", expired, &[udp(11), tcp(31), ping.clone()], 3)
            .before([udp(11), tcp(31), ping.clone()])
            .stat(Swept)
            .stat(Swept)
            .stat(Swept)
            .after([]),
        Row::sweep("one that is not expired stays", expired, &[udp(9)], 0).before([udp(9)]),
        Row::sweep("one that was refreshed meanwhile stays", expired, std::slice::from_ref(&refreshed), 0)
            .before([refreshed.clone()]),
        Row::sweep("one that was replaced meanwhile stays", expired, &[udp(20)], 0).before([younger.clone()]),
        Row::sweep("also when its rule is gone: the new one is of a new rule", ended, &[udp(20)], 0).before([younger]),
        Row::sweep("one that is gone already", expired, &[udp(11)], 0).before([tcp(1)]),
        Row::sweep("the session of a rule that is gone ends whatever its age", ended, &[tcp(0)], 1)
            .before([tcp(0), udp(0)])
            .stat(Ended)
            .after([udp(0)]),
        Row::sweep("one without an index entry", ended, &[tcp(1)], 1)
            .before([tcp(1).without_index()])
            .stat(Ended)
            .after([]),
        Row::sweep("the index entry of another session of the same flow stays", ended, &[tcp(1)], 1)
            .before([tcp(1).without_index(), Flow { ext: (EIP, 81), ..tcp(2) }])
            .stat(Ended)
            .after([Flow { ext: (EIP, 81), ..tcp(2) }]),
        Row::sweep("one that another CPU is removing is left to it", ended, &[udp(1)], 0)
            .before([udp(1).last(Age::Dead)]),
        Row::sweep("nothing proposed", expired, &[], 0).before([udp(11)]),
        Row::sweep_raw("an unknown operation", 3, &[udp(11)], 1).before([udp(11)]),
        Row::sweep_raw("more announced than sent", expired as u32, &[udp(11)], 1000)
            .before([udp(11)])
            .verdict(Verdict::Removed(1))
            .stat(Swept)
            .after([]),
        Row::sweep("before the daemon has configured anything", ended, &[udp(11)], 0)
            .not_configured()
            .before([udp(11)]),
    ]
}

#[test]
fn the_kernel_removes_only_what_it_finds_expired_or_ended() {
    check_all(&rows());
}
