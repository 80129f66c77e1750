//! ICMP queries: the identifier is the asker's port.

use super::{
    frame::*,
    gateway::{Gateway, Side::*},
};

#[test]
fn a_ping_and_its_reply_keep_the_identifier_even_when_it_is_0() {
    for id in [0, 1, 7, 65535] {
        let gateway = Gateway::with_snat();
        let (out, back) = (echo("10.0.0.5 > 8.8.8.8", id), echo_reply("8.8.8.8 > 203.0.113.1", id));
        assert_eq!(gateway.vpc(&out), format!("external snat_out 203.0.113.1 > 8.8.8.8 id {id}").as_str());
        assert_eq!(gateway.outside(&back), format!("internal snat_in 8.8.8.8 > 10.0.0.5 id {id}").as_str());
        assert_eq!(gateway.sessions(), 1);
    }
}

#[test]
fn pods_that_use_one_identifier_towards_one_peer_are_kept_apart() {
    let gateway = Gateway::with_snat();
    for pod in 5..25 {
        let out = gateway.vpc(&echo(&format!("10.0.0.{pod} > 8.8.8.8"), 7));
        let id = out.source_port();
        assert_eq!(id == 7, pod == 5);
        let said = format!("internal snat_in 8.8.8.8 > 10.0.0.{pod} id 7");
        assert_eq!(gateway.outside(&echo_reply("8.8.8.8 > 203.0.113.1", id)), said.as_str());
    }
    assert_eq!(gateway.sessions(), 20);
}

#[test]
fn timestamp_information_and_mask_queries_work_like_echo() {
    let gateway = Gateway::with_snat();
    for (request, reply) in [(13, 14), (15, 16), (17, 18)] {
        let id = [0, request, 0, 1];
        let out = gateway.vpc(&icmp(request, 0, "10.0.0.5 > 8.8.8.8", id, &[0; 12]));
        assert_eq!(out.source_port(), u16::from(request));
        let back = gateway.outside(&icmp(reply, 0, "8.8.8.8 > 203.0.113.1", id, &[0; 12]));
        assert_eq!(back, format!("internal snat_in 8.8.8.8 > 10.0.0.5 id {request}").as_str());
    }
}

#[test]
fn a_pods_own_ping_and_the_one_it_answers_use_one_identifier() {
    let mut gateway = Gateway::new();
    gateway.0.rules.snat("10.0.0.0/24", &["203.0.113.9"]);
    gateway.0.rules.fip("203.0.113.9", "10.0.0.9");
    gateway.table(&[
        (Vpc, echo("10.0.0.9 > 8.8.8.8", 7), "external fip_out 203.0.113.9 > 8.8.8.8 id 7"),
        (Outside, echo("8.8.8.8 > 203.0.113.9", 7), "internal fip_in 8.8.8.8 > 10.0.0.9 id 7"),
        (Vpc, echo_reply("10.0.0.9 > 8.8.8.8", 7), "external fip_out 203.0.113.9 > 8.8.8.8 id 7"),
        (Outside, echo_reply("8.8.8.8 > 203.0.113.9", 7), "internal fip_in 8.8.8.8 > 10.0.0.9 id 7"),
    ]);
    assert_eq!(gateway.sessions(), 2);
}

#[test]
fn a_query_of_the_peer_is_not_a_reply_to_the_pods() {
    let gateway = Gateway::with_snat();
    gateway.table(&[
        (Vpc, echo("10.0.0.5 > 8.8.8.8", 7), "external snat_out 203.0.113.1 > 8.8.8.8 id 7"),
        (Outside, echo("8.8.8.8 > 203.0.113.1", 7), "pass pass_external"),
        (Outside, echo_reply("8.8.8.8 > 203.0.113.1", 8), "pass pass_external"),
        (Outside, echo_reply("8.8.4.4 > 203.0.113.1", 7), "pass pass_external"),
    ]);
}

#[test]
fn a_query_session_lives_for_a_minute() {
    let gateway = Gateway::with_snat();
    gateway.table(&[(Vpc, echo("10.0.0.5 > 8.8.8.8", 7), "external snat_out 203.0.113.1 > 8.8.8.8 id 7")]);
    gateway.seconds(60);
    let reply = echo_reply("8.8.8.8 > 203.0.113.1", 7);
    gateway.table(&[(Outside, reply.clone(), "internal snat_in 8.8.8.8 > 10.0.0.5 id 7")]);
    gateway.seconds(61);
    gateway.table(&[(Outside, reply, "pass pass_external")]);
}
