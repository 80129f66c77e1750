//! What the themes share: a gateway with small tables, what `ip` and `natgw` say, ARP seen on the wire.

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    net::Ipv4Addr,
    path::Path,
    process::Output,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use natgw_tests::{Daemon, Gateway, Netns, Proto, Rules, Topology, daemon::PATIENCE, gateway::natgw_binary};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

pub(crate) const EIP1: &str = "203.0.113.10";
pub(crate) const EIP2: &str = "203.0.113.11";
pub(crate) const CLIENT: &str = "10.0.1.2";

/// A gateway whose tables are quickly made and whose periodic check comes `resync` apart.
pub(crate) fn gateway(topology: &Topology, resync: &str, more_config: &str) -> Gateway {
    let gateway = Gateway::new(&topology.gw);
    let config = gateway.dir().join("natgw.toml");
    fs::write(&config, format!("resync = \"{resync}\"\n{more_config}\n")).expect("the test's directory is writable");
    let path = config.display().to_string();
    gateway.with_args(&["--max-sessions", "4096", "--config", &path])
}

/// For tests that must see a reaction to an event, not the periodic check's.
pub(crate) const NEVER: &str = "1h";

/// Two EIPs, one with SNAT, one with DNAT.
pub(crate) fn rules() -> Rules {
    Rules::new().eip("e1", EIP1).eip("e2", EIP2).snat("e1", "10.0.1.0/24").dnat("e2", Proto::Tcp, 80, CLIENT, 8080)
}

/// A daemon of gateway `gw2` in the namespace and on the bpffs of `first`, with rules of its own.
pub(crate) fn second_gateway(first: &Gateway, topology: &Topology, rules: &Rules, more: &[&str]) -> Daemon {
    let manifests = first.dir().join("second");
    fs::create_dir_all(&manifests).expect("the test's directory is writable");
    fs::write(manifests.join("rules.yaml"), rules.yaml().replace("gw1", "gw2")).expect("written");
    let (manifests, bpffs) = (manifests.display().to_string(), first.bpffs().display().to_string());
    let netns = topology.gw.path().display().to_string();
    let args = ["run", "--gateway", "gw2", "--manifests", &manifests, "--bpffs", &bpffs, "--netns", &netns];
    let args = args.iter().chain(&["--log-format", "json", "--max-sessions", "4096"]).chain(more);
    Daemon::spawn(&natgw_binary(), &args.map(ToString::to_string).collect::<Vec<_>>(), first.dir())
}

/// Waits until `condition` gives something.
#[expect(clippy::disallowed_methods, reason = "the conditions are kernel state read through tools that cannot wait")]
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} did not happen within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// `address/prefix` of every IPv4 address of an interface.
pub(crate) fn addresses(ns: &Netns, interface: &str) -> BTreeSet<String> {
    let text = ns.command("ip", &["-j", "-4", "addr", "show", "dev", interface]);
    let json: Value = serde_json::from_str(&text).expect("ip prints JSON");
    let infos = json[0]["addr_info"].as_array().cloned().unwrap_or_default();
    infos.iter().map(|info| format!("{}/{}", info["local"].as_str().unwrap_or_default(), info["prefixlen"])).collect()
}

/// `destination via next hop` of every route with a next hop.
pub(crate) fn routes(ns: &Netns) -> BTreeSet<String> {
    let text = ns.command("ip", &["-j", "-4", "route"]);
    let json: Value = serde_json::from_str(&text).expect("ip prints JSON");
    let with_gateway = json.as_array().into_iter().flatten().filter(|route| route["gateway"].is_string());
    with_gateway
        .map(|route| {
            let text = |key: &str| route[key].as_str().unwrap_or_default().to_owned();
            format!("{} via {} dev {}", text("dst"), text("gateway"), text("dev"))
        })
        .collect()
}

pub(crate) fn set<const N: usize>(items: [&str; N]) -> BTreeSet<String> {
    items.into_iter().map(ToOwned::to_owned).collect()
}

/// `natgw <args> -o json`, parsed.
pub(crate) fn natgw_json(gateway: &Gateway, args: &[&str]) -> Value {
    let output = gateway.natgw(&[args, &["-o", "json"]].concat());
    assert!(output.status.success(), "natgw {args:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("-o json prints JSON")
}

/// The EIPs that `natgw rules` shows.
pub(crate) fn programmed_eips(gateway: &Gateway) -> BTreeSet<String> {
    let json = natgw_json(gateway, &["rules"]);
    let eips = json["eips"].as_array().cloned().unwrap_or_default();
    eips.iter().map(|eip| eip["address"].as_str().unwrap_or_default().to_owned()).collect()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The middle one: a busy machine may delay single measurements.
pub(crate) fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort_unstable();
    durations[durations.len() / 2]
}

/// A gratuitous ARP as it was seen: when, from which MAC, for which address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Announcement {
    pub(crate) at: Instant,
    pub(crate) mac: [u8; 6],
    pub(crate) address: Ipv4Addr,
}

const ETH_P_ARP: i32 = 0x0806;

/// Collects the gratuitous ARP frames that arrive at `interface` of `ns` for `duration`.
pub(crate) fn listen_for_announcements(ns: &Netns, duration: Duration) -> JoinHandle<Vec<Announcement>> {
    let protocol = Protocol::from((ETH_P_ARP & 0xff) << 8 | ETH_P_ARP >> 8);
    let mut socket = ns.run(|| Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).expect("root may capture"));
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a packet socket has a timeout");
    thread::spawn(move || {
        let end = Instant::now() + duration;
        let mut seen = Vec::new();
        let mut frame = [0; 128];
        while Instant::now() < end {
            let Ok(length) = socket.read(&mut frame) else { continue };
            let Some((mac, address)) = gratuitous(&frame[..length]) else { continue };
            seen.push(Announcement { at: Instant::now(), mac, address });
        }
        seen
    })
}

/// Sender MAC and address when sender and target address are one.
fn gratuitous(frame: &[u8]) -> Option<([u8; 6], Ipv4Addr)> {
    let arp = frame.get(14..42)?;
    let sender: [u8; 4] = arp[14..18].try_into().ok()?;
    let target: [u8; 4] = arp[24..28].try_into().ok()?;
    (sender == target).then_some((arp[8..14].try_into().ok()?, sender.into()))
}

/// The MAC of an interface.
pub(crate) fn mac(ns: &Netns, interface: &str) -> [u8; 6] {
    let text = ns.command("ip", &["-j", "link", "show", "dev", interface]);
    let json: Value = serde_json::from_str(&text).expect("ip prints JSON");
    let bytes = json[0]["address"].as_str().expect("a veth has a MAC").split(':');
    let bytes: Vec<u8> = bytes.map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal")).collect();
    bytes.try_into().expect("six bytes")
}

/// A `natgw` that every user can start: the checkout may be in a closed directory, such as root's home.
pub(crate) fn binary_for_everyone(dir: &Path) -> String {
    let copy = dir.join("natgw");
    fs::copy(natgw_binary(), &copy).expect("the test's directory is writable");
    copy.display().to_string()
}
