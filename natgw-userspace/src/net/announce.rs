//! Gratuitous ARP for EIPs: three times (0, 1 and 2 s), in a task of its own, paced.
//!
//! Switches and neighbours learn from these frames where an EIP lives now: when it is new, when the daemon starts and
//! when the interface returns or changes its MAC. Frames are lost (a switch port still learning), hence the repetition.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    net::Ipv4Addr,
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};

use super::{
    NetNs,
    links::LinkInfo,
    netlink::NetlinkError,
    packet::{PacketSocket, gratuitous_arp},
};

/// How often each EIP is announced.
pub const ROUNDS: usize = 3;
const INTERVAL: Duration = Duration::from_secs(1);
/// Frames sent at once, and the pause after them: 6,400 a second, so that thousands of EIPs neither overrun the
/// interface's queue nor look like a storm to the switch.
const BURST: usize = 64;
const PAUSE: Duration = Duration::from_millis(10);

enum Command {
    Link(Option<LinkInfo>),
    Announce(Vec<Ipv4Addr>),
    Withdraw(Vec<Ipv4Addr>),
}

/// Handle of the announcing task; the task ends with it.
pub struct Announcer {
    commands: mpsc::UnboundedSender<Command>,
}

impl std::fmt::Debug for Announcer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Announcer").finish_non_exhaustive()
    }
}

impl Announcer {
    /// Starts the task with a packet socket inside `ns`.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn start(ns: &NetNs) -> Result<Self, NetlinkError> {
        let socket = PacketSocket::open(ns)?;
        let (commands, receiver) = mpsc::unbounded_channel();
        tokio::spawn(run(socket, receiver));
        Ok(Self { commands })
    }

    /// Tells the state of the external interface. One that starts running, or has another index or MAC than before,
    /// has every known EIP announced through it.
    pub fn link(&self, link: Option<LinkInfo>) {
        // The task only ends with this handle.
        let _ = self.commands.send(Command::Link(link));
    }

    /// Announces these EIPs three times and remembers them.
    pub fn announce(&self, eips: Vec<Ipv4Addr>) {
        if !eips.is_empty() {
            let _ = self.commands.send(Command::Announce(eips));
        }
    }

    /// Forgets these EIPs: rounds still due are dropped.
    pub fn withdraw(&self, eips: Vec<Ipv4Addr>) {
        if !eips.is_empty() {
            let _ = self.commands.send(Command::Withdraw(eips));
        }
    }
}

async fn run(socket: PacketSocket, mut commands: mpsc::UnboundedReceiver<Command>) {
    let mut schedule = Schedule::default();
    loop {
        let command = match schedule.next_due() {
            Some(due) => tokio::select! {
                biased;
                command = commands.recv() => Some(command),
                () = tokio::time::sleep_until(due) => None,
            },
            None => Some(commands.recv().await),
        };
        match command {
            Some(None) => return,
            Some(Some(command)) => schedule.command(command, Instant::now()),
            None => send_burst(&socket, &mut schedule).await,
        }
    }
}

async fn send_burst(socket: &PacketSocket, schedule: &mut Schedule) {
    let Some(link) = schedule.link else { return };
    let burst = schedule.take_due(Instant::now(), BURST);
    for (sent, addr) in burst.iter().enumerate() {
        let Err(error) = socket.send(link.ifindex, &gratuitous_arp(link.mac, *addr)) else { continue };
        if matches!(error.kind(), io::ErrorKind::WouldBlock) || error.raw_os_error() == Some(libc::ENOBUFS) {
            schedule.put_back(&burst[sent..], Instant::now() + PAUSE);
        } else {
            // The interface went down or away; its return announces everything again.
            tracing::debug!(ifindex = link.ifindex, %error, "gratuitous ARP was not sent");
        }
        break;
    }
    tokio::time::sleep(PAUSE).await;
}

/// Pure part: which EIP is due when. One queue per round, each in order of its due times.
#[derive(Debug, Default)]
struct Schedule {
    link: Option<LinkInfo>,
    eips: BTreeSet<Ipv4Addr>,
    rounds: [VecDeque<(Instant, Ipv4Addr)>; ROUNDS],
}

impl Schedule {
    fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Link(link) => self.set_link(link.filter(|link| link.running), now),
            Command::Announce(eips) => {
                self.eips.extend(&eips);
                if self.link.is_some() {
                    self.enqueue(&eips, now);
                }
            }
            Command::Withdraw(eips) => {
                for eip in eips {
                    self.eips.remove(&eip);
                }
            }
        }
    }

    fn set_link(&mut self, link: Option<LinkInfo>, now: Instant) {
        let identity = |link: Option<LinkInfo>| link.map(|link| (link.ifindex, link.mac));
        let changed = identity(self.link) != identity(link);
        self.link = link;
        if changed {
            self.rounds.iter_mut().for_each(VecDeque::clear);
            if link.is_some() {
                let all: Vec<Ipv4Addr> = self.eips.iter().copied().collect();
                self.enqueue(&all, now);
            }
        }
    }

    fn enqueue(&mut self, eips: &[Ipv4Addr], now: Instant) {
        let mut due = now;
        for round in &mut self.rounds {
            round.extend(eips.iter().map(|eip| (due, *eip)));
            due += INTERVAL;
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.link?;
        self.rounds.iter().filter_map(|round| round.front()).map(|(due, _)| *due).min()
    }

    fn take_due(&mut self, now: Instant, limit: usize) -> Vec<Ipv4Addr> {
        let mut taken = Vec::new();
        for round in &mut self.rounds {
            while taken.len() < limit {
                let Some((_, eip)) = round.pop_front_if(|(due, _)| *due <= now) else { break };
                if self.eips.contains(&eip) {
                    taken.push(eip);
                }
            }
        }
        taken
    }

    fn put_back(&mut self, eips: &[Ipv4Addr], due: Instant) {
        for eip in eips.iter().rev() {
            self.rounds[0].push_front((due, *eip));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
    const B: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);

    fn link(ifindex: u32, running: bool) -> Command {
        Command::Link(Some(LinkInfo { ifindex, mac: [2, 0, 0, 0, 0, 1], mtu: 1500, running }))
    }

    fn drain(schedule: &mut Schedule, now: Instant) -> Vec<Ipv4Addr> {
        schedule.take_due(now, usize::MAX)
    }

    #[test]
    fn each_eip_is_due_three_times_one_second_apart() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.command(link(4, true), start);
        schedule.command(Command::Announce(vec![A]), start);
        for second in 0..3 {
            let due = start + Duration::from_secs(second);
            assert_eq!(schedule.next_due(), Some(due));
            assert!(drain(&mut schedule, due.checked_sub(Duration::from_millis(1)).expect("in range")).is_empty());
            assert_eq!(drain(&mut schedule, due), [A]);
        }
        assert_eq!(schedule.next_due(), None);
    }

    #[test]
    fn eips_wait_for_the_interface_and_return_with_it() {
        let now = Instant::now();
        let later = now + Duration::from_mins(1);
        let mut schedule = Schedule::default();
        schedule.command(Command::Announce(vec![A, B]), now);
        schedule.command(link(4, false), now);
        assert_eq!(schedule.next_due(), None, "no carrier, no frame");
        schedule.command(link(4, true), now);
        assert_eq!(drain(&mut schedule, later).len(), 2 * ROUNDS);
        schedule.command(link(4, true), later);
        assert_eq!(schedule.next_due(), None, "an unchanged link announces nothing");
        schedule.command(link(9, true), later);
        assert_eq!(drain(&mut schedule, later), [A, B], "a new index announces all");
    }

    #[test]
    fn a_withdrawn_eip_is_not_announced_again() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.command(link(4, true), now);
        schedule.command(Command::Announce(vec![A, B]), now);
        assert_eq!(drain(&mut schedule, now), [A, B]);
        schedule.command(Command::Withdraw(vec![A]), now);
        assert_eq!(drain(&mut schedule, now + Duration::from_secs(5)), [B, B]);
    }

    #[test]
    fn a_burst_is_limited_and_what_did_not_fit_comes_next() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.command(link(4, true), now);
        schedule.command(Command::Announce(vec![A, B]), now);
        assert_eq!(schedule.take_due(now, 1), [A]);
        schedule.put_back(&[A], now);
        assert_eq!(schedule.take_due(now, 2), [A, B]);
    }
}
