//! Follows the gateway's two interfaces by name, and the address and route changes on them, through netlink multicast.
//!
//! Nothing polls: the groups are joined first, then the links are dumped, so no change falls between. When the kernel
//! drops notifications (`ENOBUFS`) the links are dumped again and [`NetEvent::Changed`] is sent for everything.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink has dozens of kinds and grows; the few of interest are named"
)]

use std::{collections::BTreeMap, fmt};

use futures::{StreamExt, TryStreamExt, channel::mpsc::UnboundedReceiver};
use rtnetlink::{
    Handle, MulticastGroup,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        link::{LinkAttribute, LinkFlags, LinkMessage},
        route::{RouteAttribute, RouteProtocol},
    },
    sys::{AsyncSocket, SocketAddr},
};
use tokio::{runtime, sync::mpsc};

use super::{NetNs, PROTO_NATGW, netlink::NetlinkError};

/// Room for notifications while the daemon is busy; the kernel caps it at `net.core.rmem_max`.
const RECEIVE_BUFFER: i32 = 4 << 20;

/// What is known of a present interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkInfo {
    /// Interface index: another one after re-creation.
    pub ifindex: u32,
    /// Hardware address; zero for interfaces without one.
    pub mac: [u8; 6],
    /// MTU in bytes.
    pub mtu: u32,
    /// Administratively up, with carrier: packets leave.
    pub running: bool,
}

/// State of one watched interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// It exists.
    Present(LinkInfo),
    /// There is no interface of that name.
    Gone,
}

/// One news from the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetEvent {
    /// The named interface appeared, went, or changed in a way that matters.
    Link(String, LinkState),
    /// Addresses or routes on a watched interface changed, or may have.
    Changed(String),
    /// The notification socket died; a new watch is needed.
    Closed,
}

/// The initial state and the stream of changes of some interfaces.
pub struct LinkWatch {
    events: mpsc::UnboundedReceiver<NetEvent>,
}

impl fmt::Debug for LinkWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkWatch").finish_non_exhaustive()
    }
}

impl LinkWatch {
    /// Starts watching `names` inside `ns`. The first events tell each interface's present state, `Gone` included.
    ///
    /// # Errors
    /// When the namespace cannot be entered or the socket not be made.
    pub fn start(ns: &NetNs, names: &[&str]) -> Result<Self, NetlinkError> {
        let runtime = runtime::Handle::current();
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv4Route];
        let (mut connection, handle, messages) = ns
            .run(|| {
                let _inside = runtime.enter();
                rtnetlink::new_multicast_connection(&groups)
            })?
            .map_err(NetlinkError::Open)?;
        // A short buffer only means more resyncs.
        let _ = connection.socket_mut().socket_mut().set_rx_buf_sz(RECEIVE_BUFFER);
        tokio::spawn(connection);
        let (sender, events) = mpsc::unbounded_channel();
        let table = LinkTable::new(names);
        tokio::spawn(follow(handle, messages, table, sender));
        Ok(Self { events })
    }

    /// The next event. Cancel safe.
    pub async fn next(&mut self) -> NetEvent {
        self.events.recv().await.unwrap_or(NetEvent::Closed)
    }

    /// An event that is already there.
    pub fn try_next(&mut self) -> Option<NetEvent> {
        self.events.try_recv().ok()
    }
}

async fn follow(
    handle: Handle,
    mut messages: UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
    mut table: LinkTable,
    events: mpsc::UnboundedSender<NetEvent>,
) {
    // The handle is needed for every dump; the receiver going away ends the task.
    let mut news = resync(&handle, &mut table).await;
    loop {
        for event in news.drain(..) {
            let closed = event == NetEvent::Closed;
            // Whoever watches starts anew, in its own time.
            if events.send(event).is_err() || closed {
                return;
            }
        }
        let message = tokio::select! {
            message = messages.next() => message,
            () = events.closed() => return,
        };
        let Some((message, _)) = message else {
            let _ = events.send(NetEvent::Closed);
            return;
        };
        news = match message.payload {
            NetlinkPayload::InnerMessage(inner) => table.message(&inner),
            NetlinkPayload::Overrun(_) => {
                tracing::debug!("netlink notifications were lost, reading the links again");
                resync(&handle, &mut table).await
            }
            _ => Vec::new(),
        };
    }
}

async fn resync(handle: &Handle, table: &mut LinkTable) -> Vec<NetEvent> {
    match handle.link().get().execute().try_collect::<Vec<_>>().await {
        Ok(links) => table.resync(&links),
        Err(error) => {
            tracing::warn!(%error, "cannot list the interfaces");
            vec![NetEvent::Closed]
        }
    }
}

/// Pure part: folds netlink messages into events.
#[derive(Debug)]
struct LinkTable {
    /// `None`: not told yet.
    links: BTreeMap<String, Option<LinkState>>,
}

impl LinkTable {
    fn new(names: &[&str]) -> Self {
        Self { links: names.iter().map(|name| ((*name).to_owned(), None)).collect() }
    }

    fn by_index(&self, ifindex: u32) -> Option<String> {
        self.links.iter().find_map(|(name, state)| match state {
            Some(LinkState::Present(info)) if info.ifindex == ifindex => Some(name.clone()),
            Some(LinkState::Present(_) | LinkState::Gone) | None => None,
        })
    }

    fn set(&mut self, name: &str, state: LinkState) -> Option<NetEvent> {
        let slot = self.links.get_mut(name)?;
        (*slot != Some(state)).then(|| {
            *slot = Some(state);
            NetEvent::Link(name.to_owned(), state)
        })
    }

    fn present(&mut self, link: &LinkMessage) -> Vec<NetEvent> {
        let Some((name, info)) = describe(link) else { return Vec::new() };
        let mut events = Vec::new();
        // A rename: the name we knew this index by is gone.
        if let Some(old) = self.by_index(info.ifindex).filter(|old| *old != name) {
            events.extend(self.set(&old, LinkState::Gone));
        }
        events.extend(self.set(&name, LinkState::Present(info)));
        events
    }

    fn message(&mut self, message: &RouteNetlinkMessage) -> Vec<NetEvent> {
        match message {
            RouteNetlinkMessage::NewLink(link) => self.present(link),
            RouteNetlinkMessage::DelLink(link) => {
                let name = self.by_index(link.header.index);
                name.and_then(|name| self.set(&name, LinkState::Gone)).into_iter().collect()
            }
            RouteNetlinkMessage::NewAddress(address) | RouteNetlinkMessage::DelAddress(address) => {
                self.by_index(address.header.index).map(NetEvent::Changed).into_iter().collect()
            }
            // A foreign route may bring the next hop that ours wait for; a lost one may be ours.
            RouteNetlinkMessage::NewRoute(route) if own_doing(route.header.protocol) => Vec::new(),
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => route
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    RouteAttribute::Oif(index) => self.by_index(*index),
                    _ => None,
                })
                .map(NetEvent::Changed)
                .into_iter()
                .collect(),
            _ => Vec::new(),
        }
    }

    fn resync(&mut self, links: &[LinkMessage]) -> Vec<NetEvent> {
        let present: BTreeMap<String, LinkInfo> = links.iter().filter_map(describe).collect();
        let names: Vec<String> = self.links.keys().cloned().collect();
        let mut events = Vec::new();
        for name in names {
            let state = present.get(&name).map_or(LinkState::Gone, |info| LinkState::Present(*info));
            match self.set(&name, state) {
                Some(event) => events.push(event),
                None => events.push(NetEvent::Changed(name)),
            }
        }
        events
    }
}

/// Routes that come with addresses, and ours, follow from what natgw does.
fn own_doing(protocol: RouteProtocol) -> bool {
    matches!(protocol, RouteProtocol::Kernel | RouteProtocol::Other(PROTO_NATGW))
}

fn describe(link: &LinkMessage) -> Option<(String, LinkInfo)> {
    let mut name = None;
    let mut mac = [0; 6];
    let mut mtu = 0;
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(value) => name = Some(value.clone()),
            LinkAttribute::Address(value) => mac = <[u8; 6]>::try_from(value.as_slice()).unwrap_or_default(),
            LinkAttribute::Mtu(value) => mtu = *value,
            _ => {}
        }
    }
    let running = link.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
    Some((name?, LinkInfo { ifindex: link.header.index, mac, mtu, running }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(ifindex: u32, name: &str, flags: LinkFlags) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = ifindex;
        message.header.flags = flags;
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, u8::try_from(ifindex).unwrap_or(0)]),
            LinkAttribute::Mtu(1500),
        ];
        message
    }

    fn state(event: &NetEvent) -> (&str, Option<u32>) {
        match event {
            NetEvent::Link(name, LinkState::Present(info)) => (name, Some(info.ifindex)),
            NetEvent::Link(name, LinkState::Gone) | NetEvent::Changed(name) => (name, None),
            NetEvent::Closed => panic!("closed"),
        }
    }

    #[test]
    fn a_missing_interface_is_told_as_gone_and_appears_later() {
        let mut table = LinkTable::new(&["eth0", "net1"]);
        let events = table.resync(&[link(2, "eth0", LinkFlags::empty())]);
        assert_eq!(events.iter().map(state).collect::<Vec<_>>(), [("eth0", Some(2)), ("net1", None)]);
        let news = table.message(&RouteNetlinkMessage::NewLink(link(7, "net1", LinkFlags::empty())));
        assert_eq!(news.iter().map(state).collect::<Vec<_>>(), [("net1", Some(7))]);
        let same = table.message(&RouteNetlinkMessage::NewLink(link(7, "net1", LinkFlags::empty())));
        assert!(same.is_empty(), "an unchanged link is no news: {same:?}");
    }

    #[test]
    fn re_creation_is_gone_then_present_with_the_new_index() {
        let mut table = LinkTable::new(&["net1"]);
        table.resync(&[link(7, "net1", LinkFlags::Up)]);
        let gone = table.message(&RouteNetlinkMessage::DelLink(link(7, "net1", LinkFlags::empty())));
        assert_eq!(gone, [NetEvent::Link("net1".to_owned(), LinkState::Gone)]);
        let back = table.message(&RouteNetlinkMessage::NewLink(link(9, "net1", LinkFlags::Up)));
        assert_eq!(back.iter().map(state).collect::<Vec<_>>(), [("net1", Some(9))]);
    }

    #[test]
    fn a_rename_away_is_gone_and_a_rename_to_is_present() {
        let mut table = LinkTable::new(&["net1"]);
        table.resync(&[link(7, "net1", LinkFlags::Up)]);
        let away = table.message(&RouteNetlinkMessage::NewLink(link(7, "other", LinkFlags::Up)));
        assert_eq!(away, [NetEvent::Link("net1".to_owned(), LinkState::Gone)]);
        let back = table.message(&RouteNetlinkMessage::NewLink(link(7, "net1", LinkFlags::Up)));
        assert_eq!(back.iter().map(state).collect::<Vec<_>>(), [("net1", Some(7))]);
    }

    #[test]
    fn running_needs_both_the_administrator_and_the_carrier() {
        let running = |flags| describe(&link(1, "net1", flags)).expect("named").1.running;
        assert!(!running(LinkFlags::Up));
        assert!(!running(LinkFlags::LowerUp));
        assert!(running(LinkFlags::Up | LinkFlags::LowerUp));
    }

    #[test]
    fn lost_notifications_make_every_interface_suspect() {
        let mut table = LinkTable::new(&["eth0", "net1"]);
        let links = [link(2, "eth0", LinkFlags::Up), link(3, "net1", LinkFlags::Up)];
        table.resync(&links);
        assert_eq!(table.resync(&links), [NetEvent::Changed("eth0".to_owned()), NetEvent::Changed("net1".to_owned())]);
    }
}
