//! ICMP errors from outside about packets that left with an EIP as their source.

use super::{frame::*, gateway::Gateway};

const ROUTER: &str = "192.0.2.1 > 203.0.113.1";

/// Sends `sent` out, has a router quote `count` bytes of it (all when `None`) and expects the pod to see its own
/// packet in the error, byte for byte but for the TTL.
fn the_pod_sees_its_own_packet(gateway: &Gateway, sent: &Frame, (kind, code): (u8, u8), count: Option<usize>) {
    let left = gateway.vpc(sent).frame();
    let quote = |frame: &Frame| count.map_or(frame.ip().to_vec(), |count| frame.quote(count).to_vec());
    let eip = std::net::Ipv4Addr::from(left.parse().ip.src);
    let out = gateway.outside(&error(kind, code, &format!("192.0.2.1 > {eip}"), &quote(&left)));
    let arrived = out.frame();
    assert!(out.said.starts_with("internal icmp_error_in 192.0.2.1"), "{}", out.said);
    assert_eq!(arrived.parse().ip.dst, sent.parse().ip.src);
    // The type, the code and the next-hop MTU stay; the packet is as it was one hop further.
    assert_eq!(arrived.ip()[20..22], [kind, code]);
    assert_eq!(arrived.ip()[24..28], [0, 0, 0x05, 0xb4]);
    assert_eq!(&arrived.ip()[28..], quote(&sent.ttl(sent.parse().ip.ttl - 1)), "{sent}");
}

/// What a pod may send, each also behind IP options.
fn packets() -> Vec<Frame> {
    let pod = "10.0.0.5:4000 > 8.8.8.8:53";
    let plain = [
        udp(pod),
        udp(pod).without_udp_checksum(),
        tcp(pod, SYN),
        tcp(pod, ACK),
        echo("10.0.0.5 > 8.8.8.8", 0),
        echo("10.0.0.5 > 8.8.8.8", 7),
        raw(GRE, "10.0.0.5 > 8.8.8.8"),
    ];
    plain.iter().cloned().chain(plain.iter().map(Frame::options)).collect()
}

#[test]
fn of_an_snat_session() {
    for error in [(3, 1), (3, 3), (3, 4), (11, 0), (12, 0), (4, 0)] {
        for count in [None, Some(8), Some(12), Some(20)] {
            for sent in packets() {
                the_pod_sees_its_own_packet(&Gateway::with_snat(), &sent, error, count);
            }
        }
    }
}

#[test]
fn of_an_snat_session_with_another_port() {
    for count in [None, Some(8), Some(20)] {
        let gateway = Gateway::with_snat();
        for other in packets() {
            gateway.vpc(&other.with_ip(|ip| ip.source = [10, 0, 0, 6]));
        }
        for sent in packets().into_iter().filter(|sent| sent.parse().ip.proto != GRE) {
            let taken = udp("10.0.0.6:4000 > 8.8.8.8:53");
            gateway.vpc(&taken);
            the_pod_sees_its_own_packet(&gateway, &sent, (3, 1), count);
        }
    }
}

#[test]
fn of_a_reply_of_a_port_mapping() {
    let mut gateway = Gateway::new();
    gateway.0.rules.dnat(6, "203.0.113.1:80 > 10.0.0.8:8080");
    gateway.outside(&tcp("8.8.8.8:5000 > 203.0.113.1:80", SYN));
    the_pod_sees_its_own_packet(&gateway, &tcp("10.0.0.8:8080 > 8.8.8.8:5000", SYN | ACK), (3, 4), None);
    the_pod_sees_its_own_packet(&gateway, &tcp("10.0.0.8:8080 > 8.8.8.8:5000", ACK), (3, 1), Some(8));
}

#[test]
fn of_a_floating_ip_with_and_without_sessions() {
    let mut stateless = Gateway::new();
    stateless.0.rules.fip("203.0.113.9", "10.0.0.5");
    let mut stateful = Gateway::new();
    stateful.0.rules.snat("10.0.0.0/24", &["203.0.113.9"]);
    stateful.0.rules.fip("203.0.113.9", "10.0.0.5");
    for gateway in [stateless, stateful] {
        for count in [None, Some(8)] {
            for sent in packets() {
                the_pod_sees_its_own_packet(&gateway, &sent, (11, 0), count);
            }
            the_pod_sees_its_own_packet(&gateway, &echo_reply("10.0.0.5 > 8.8.8.8", 9), (3, 1), count);
            the_pod_sees_its_own_packet(&gateway, &tcp("10.0.0.5:1 > 8.8.8.8:2", RST), (3, 1), count);
            the_pod_sees_its_own_packet(&gateway, &udp("10.0.0.5:1 > 8.8.8.8:2").later_fragment(), (11, 1), count);
        }
    }
}

#[test]
fn of_the_answer_to_a_ping_from_outside() {
    let mut gateway = Gateway::new();
    gateway.0.rules.snat("10.0.0.0/24", &["203.0.113.9"]);
    gateway.0.rules.fip("203.0.113.9", "10.0.0.5");
    gateway.outside(&echo("8.8.8.8 > 203.0.113.9", 7));
    the_pod_sees_its_own_packet(&gateway, &echo_reply("10.0.0.5 > 8.8.8.8", 7), (3, 1), None);
}

#[test]
fn an_error_whose_ttl_ends_here_is_left_to_the_kernel() {
    let gateway = Gateway::with_snat();
    let left = gateway.vpc(&udp("10.0.0.5:4000 > 8.8.8.8:53")).frame();
    let out = gateway.outside(&error(3, 1, ROUTER, left.ip()).ttl(1));
    assert_eq!(out, "kernel icmp_error_in 192.0.2.1 > 10.0.0.5 error 3/1 [10.0.0.5:4000 > 8.8.8.8:53]");
}

#[test]
fn an_error_about_nothing_of_ours_is_the_kernels() {
    let gateway = Gateway::with_snat();
    gateway.vpc(&udp("10.0.0.5:4000 > 8.8.8.8:53"));
    for quoted in ["203.0.113.1:4001 > 8.8.8.8:53", "203.0.113.1:4000 > 8.8.4.4:53", "10.0.0.5:4000 > 8.8.8.8:53"] {
        assert_eq!(gateway.outside(&error(3, 1, ROUTER, udp(quoted).ip())), "pass pass_external", "{quoted}");
    }
}

#[test]
fn an_error_about_a_hairpinned_packet_can_only_be_forged() {
    let mut gateway = Gateway::new();
    gateway.0.rules.dnat(6, "203.0.113.7:80 > 10.0.0.7:8080");
    let delivered = gateway.vpc(&tcp("10.0.0.5:4000 > 203.0.113.7:80", SYN)).frame();
    assert_eq!(gateway.outside(&error(3, 1, "192.0.2.1 > 203.0.113.7", delivered.ip())), "pass pass_external");
}

#[test]
fn an_error_about_an_error_or_about_too_little_is_not_translated() {
    let gateway = Gateway::with_snat();
    let left = gateway.vpc(&udp("10.0.0.5:4000 > 8.8.8.8:53")).frame();
    let inner = error(3, 1, "203.0.113.1 > 8.8.8.8", left.ip());
    assert_eq!(gateway.outside(&error(3, 1, ROUTER, inner.ip())), "pass pass_external");
    for count in [0, 4, 7] {
        assert_eq!(gateway.outside(&error(3, 1, ROUTER, left.quote(count))), "pass pass_external");
    }
    assert_eq!(gateway.outside(&error(3, 1, ROUTER, &[0x65; 40])), "pass pass_external");
    assert_eq!(gateway.outside(&error(3, 1, ROUTER, &[])), "pass pass_external");
}

#[test]
fn an_error_neither_refreshes_nor_ends_a_session() {
    let gateway = Gateway::with_snat();
    let left = gateway.vpc(&tcp("10.0.0.5:4000 > 8.8.8.8:53", SYN)).frame();
    let before = gateway.0.dump();
    gateway.seconds(100);
    gateway.outside(&error(3, 3, ROUTER, left.ip()));
    assert_eq!(gateway.0.dump(), before);
    assert_eq!(gateway.sessions(), 1);
}

#[test]
fn a_wrong_checksum_stays_wrong() {
    let gateway = Gateway::with_snat();
    let left = gateway.vpc(&udp("10.0.0.5:4000 > 8.8.8.8:53")).frame();
    let mut broken = error(3, 1, ROUTER, left.ip());
    broken.0[14 + 20 + 2] ^= 1;
    // The gateway fixture compares the verdicts of the verifier before and after.
    assert!(super::verify::checksums(&gateway.outside(&broken).frame()).is_err());
}
