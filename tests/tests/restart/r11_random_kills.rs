//! R11: killed at random points of start and reconcile, again and again, while the rules change.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use natgw_tests::{
    Gateway, Lab, Proto, Rules, Topology,
    capture::{Capture, Way, assert_no_private_address_leaves, passed},
    clock, command,
    lab::{EIP1, EIP2, EIP3},
    maps::MapDump,
    probe::{IcmpProbe, MILLISECOND, UdpEcho, UdpProbe},
    random::Random,
    rules::Rule,
    topology::{CLIENT, GW_EXTERNAL, POD2, SERVER, SERVER2},
};

use natgw_tests::traffic::{VPC_CIDR, at};

const KILLS: usize = 60;
const EIP4: std::net::Ipv4Addr = std::net::Ipv4Addr::new(203, 0, 113, 13);

/// Rules that are there all the time: traffic through them must never notice anything.
fn stable() -> Rules {
    Rules::new()
        .eip("eip1", EIP1)
        .snat("eip1", VPC_CIDR)
        .dnat("eip1", Proto::Udp, 53, CLIENT, 5353)
        .eip("eip2", EIP2)
        .fip("eip2", POD2)
}

/// The stable rules and some others: elastic IPs that come and go, port mappings with changing targets, a source
/// prefix that moves between two EIPs.
fn random_rules(random: &mut Random) -> Rules {
    let mut rules = stable();
    let third = random.below(3) > 0;
    if third {
        rules = rules.eip("eip3", EIP3);
        for _ in 0..random.below(8) {
            let (port, target) = (1000 + random.below(20), if random.below(2) == 0 { CLIENT } else { POD2 });
            if !rules.yaml().contains(&format!("dnat-eip3-udp-{port}\n")) {
                rules = rules.dnat("eip3", Proto::Udp, port, target, 5353);
            }
        }
        if random.below(2) == 0 {
            rules = rules.snat("eip3", CLIENT);
        }
    }
    if random.below(2) == 0 {
        rules = rules.eip("eip4", EIP4).snat("eip4", "10.0.2.0/24");
    }
    rules
}

/// The gateway's addresses on `net1`.
fn addresses(net: &Topology) -> BTreeSet<String> {
    let shown = net.gw.command("ip", &["-o", "-4", "addr", "show", "dev", "net1"]);
    let words: Vec<&str> = shown.split_whitespace().collect();
    words.windows(2).filter(|pair| pair[0] == "inet").map(|pair| pair[1].to_owned()).collect()
}

/// Asks from outside and from inside, as new flows and as ones of before (the ports come round again), until told to
/// stop; says how often it was answered. A flow whose elastic IP is removed under it may lose a packet, not a second.
fn ask(net: &Topology, stop: &AtomicBool) -> u64 {
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        let port = 40_000 + u16::try_from(answered / 2 % 50).expect("below 50");
        for (asker, target) in [(&net.server, at(EIP1, 53)), (&net.client, at(SERVER, 7002))] {
            let socket = asker.run(|| std::net::UdpSocket::bind(("0.0.0.0", port))).expect("the port is free");
            socket.set_read_timeout(Some(Duration::from_millis(100))).expect("it has a timeout");
            socket.connect(target).expect("there is a route");
            let tried =
                (0..10).any(|_| socket.send(b"asked").is_ok() && socket.recv(&mut [0; 16]).is_ok_and(|len| len == 5));
            assert!(tried, "the flow from {} port {port} to {target} is dead for a second", asker.name());
            answered += 1;
            // So that nothing piles up on a small machine.
            clock::pass(MILLISECOND);
        }
    }
    answered
}

#[test]
fn r11_sixty_kills_at_random_points_always_converge_and_never_translate_wrongly() {
    let mut random = Random::new();
    let mut lab = Lab::new(&stable());
    let ready = lab.daemon().ready_after();
    let net = &lab.net;
    let echoes =
        [UdpEcho::start(&net.server, 7002), UdpEcho::start(&net.client, 5353), UdpEcho::start(&net.pod2, 5353)];
    let capture = Capture::start(&net.gw);
    let probes = [
        UdpProbe::start(&net.pod2, at(SERVER, 7002), MILLISECOND),
        UdpProbe::start(&net.server2, at(EIP1, 53), MILLISECOND),
    ];
    let ping = IcmpProbe::start(&net.server, EIP2, 31, MILLISECOND);
    let stop = AtomicBool::new(false);
    lab.daemon_mut().kill9();
    let net = &lab.net;
    let gateway = &lab.gateway;

    let (last, asked) = thread::scope(|scope| {
        let asker = scope.spawn(|| ask(net, &stop));
        let mut last = stable();
        for kill in 0..KILLS {
            last = random_rules(&mut random);
            gateway.write(&last);
            let mut daemon = gateway.spawn();
            if kill % 2 == 0 {
                // In the middle of a reconcile: the rules change under a ready daemon.
                daemon.wait_ready();
                last = random_rules(&mut random);
                gateway.write(&last);
                // It waits a moment for the directory to be quiet, then needs a few milliseconds.
                clock::pass(Duration::from_millis(9) + random.up_to(Duration::from_millis(20)));
            } else {
                // In the middle of the start.
                clock::pass(random.up_to(ready * 5 / 4));
            }
            daemon.kill9();
        }
        stop.store(true, Ordering::Relaxed);
        (last, asker.join().expect("every flow was answered"))
    });

    let daemon = gateway.start();
    let seen = MapDump::rules(gateway);
    let wanted = desired(&last);
    assert_eq!(wanted.difference(&seen), Vec::<String>::new(), "after the last start (- is missing, + is too much)");
    // The daemon adds and removes addresses before it is ready.
    let mut expected: BTreeSet<String> = last
        .rules()
        .iter()
        .filter_map(|rule| match rule {
            Rule::Eip { address, .. } => Some(format!("{address}/24")),
            Rule::Fip { .. } | Rule::Dnat { .. } | Rule::Snat { .. } | Rule::Route { .. } | Rule::Raw(_) => None,
        })
        .collect();
    expected.insert(format!("{GW_EXTERNAL}/24"));
    assert_eq!(addresses(net), expected, "addresses of net1 after the last start");
    drop(daemon);

    let captured = capture.stop();
    assert!(asked > 100, "only {asked} flows were tried");
    for probe in probes {
        probe.stop().assert_lossless("a stable rule");
    }
    ping.stop().assert_lossless("a stable floating IP");
    assert_no_private_address_leaves(&captured);
    let sources: BTreeSet<_> =
        passed(&captured, "net1", Way::Out).iter().filter(|packet| packet.protocol == 17).map(|p| p.source).collect();
    assert!(sources.is_subset(&BTreeSet::from([EIP1, EIP2, EIP3, GW_EXTERNAL])), "{sources:?}");
    let inside: BTreeSet<_> = echoes[1].take_peers().iter().map(std::net::SocketAddr::ip).collect();
    assert!(inside.is_subset(&BTreeSet::from([SERVER.into(), SERVER2.into()])), "the pod was asked by {inside:?}");
}

/// What a gateway that was never killed has in its maps for `rules`.
fn desired(rules: &Rules) -> MapDump {
    let net = Topology::new();
    let gateway = Gateway::new(&net.gw);
    gateway.write(rules);
    let begun = Instant::now();
    let daemon = gateway.start();
    let dump = MapDump::rules(&gateway);
    assert!(!dump.is_empty(), "the reference has rules after {:?}", begun.elapsed());
    drop(daemon);
    dump
}

/// Deletes an entry of a pinned map, as a daemon does that is killed right after.
fn delete(gateway: &Gateway, map: &str, key: &[u8]) {
    let pin = gateway.pins().join("maps").join(map).display().to_string();
    let key: Vec<String> = key.iter().map(ToString::to_string).collect();
    let args: Vec<&str> =
        ["map", "delete", "pinned", &pin, "key"].into_iter().chain(key.iter().map(String::as_str)).collect();
    command::run("bpftool", &args);
}

#[test]
fn r11_a_removal_that_was_killed_before_it_ended_the_sessions_is_finished_by_the_next_start() {
    let with = stable()
        .eip("eip3", EIP3)
        .dnat("eip3", Proto::Udp, 54, CLIENT, 5353)
        .dnat("eip1", Proto::Udp, 55, CLIENT, 5353)
        .snat("eip3", CLIENT);
    let mut lab = Lab::new(&with);
    let net = &lab.net;
    let outside = UdpEcho::start(&net.server, 7002);
    let _inside = UdpEcho::start(&net.client, 5353);
    let flow = |ns: &natgw_tests::Netns, target| {
        let socket = ns.run(|| std::net::UdpSocket::bind("0.0.0.0:0")).expect("a UDP socket");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("it has a timeout");
        socket.connect(target).expect("there is a route");
        socket
    };
    let asks = |socket: &std::net::UdpSocket| socket.send(b"asked").is_ok() && socket.recv(&mut [0; 16]).is_ok();
    let flows = [flow(&net.server, at(EIP3, 54)), flow(&net.server, at(EIP1, 55)), flow(&net.client, at(SERVER, 7002))];
    assert!(flows.iter().all(asks), "all of it works before");
    assert_eq!(outside.take_peers().iter().map(std::net::SocketAddr::ip).collect::<Vec<_>>(), [EIP3]);
    lab.daemon_mut().kill9();
    lab.gateway.write(&stable());
    delete(&lab.gateway, "DNAT", &[203, 0, 113, 12, 0, 54, 17, 0]);
    delete(&lab.gateway, "DNAT", &[203, 0, 113, 10, 0, 55, 17, 0]);
    delete(&lab.gateway, "SNAT", &[32, 0, 0, 0, 10, 0, 1, 2]);
    delete(&lab.gateway, "EIPS", &[203, 0, 113, 12]);
    let daemon = lab.gateway.start();
    lab.replace_daemon(daemon);
    clock::eventually("the sessions of the removed rules have ended", Duration::from_secs(3), || {
        let sessions = MapDump::read(&lab.gateway, &["SESSIONS"]);
        !sessions.entries("SESSIONS").iter().any(|line| line.contains("[203,0,113,12]") || line.contains("[0,55]"))
    });
    assert!(!asks(&flows[0]), "the EIP is gone");
    assert!(!asks(&flows[1]), "the port mapping is gone");
    assert!(asks(&flows[2]), "the client's flow goes on by the rule that is left");
    assert_eq!(outside.take_peers().iter().map(std::net::SocketAddr::ip).collect::<Vec<_>>(), [EIP1]);
    let address = lab.net.gw.command("ip", &["-o", "-4", "addr", "show", "dev", "net1"]);
    assert!(!address.contains(&EIP3.to_string()), "its address is gone too: {address}");
}
