//! New connections, one after the other, while something else happens.

use std::{
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{Topology, clock, lab::EIP1, probe::StopOnDrop, tcp, topology::SERVER, traffic::at};

/// From one connection to the next: a process has a thousand descriptors.
const PAUSE: Duration = Duration::from_millis(20);

/// Opens connections to the servers of [`crate::traffic::Traffic`] through SNAT and DNAT as long as `work` takes.
/// Returns what that returned and the connections, which are still open: the far end may repeat its FIN for a while, and
/// a socket that was closed would answer with a reset.
///
/// # Panics
/// When one of the connections failed.
pub fn while_connecting<R>(net: &Topology, work: impl FnOnce() -> R) -> (R, Vec<TcpStream>) {
    let stop = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        let churn = scope.spawn(|| keep_connecting(net, &stop));
        // Also when `work` panics: the scope waits for the thread.
        let guard = StopOnDrop(Arc::clone(&stop));
        let result = work();
        drop(guard);
        (result, churn.join().expect("every new connection works"))
    })
}

fn keep_connecting(net: &Topology, stop: &AtomicBool) -> Vec<TcpStream> {
    let mut open = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for (from, to) in [(&net.client, at(SERVER, 7001)), (&net.server, at(EIP1, 80))] {
            let mut stream =
                tcp::connect(from, to).unwrap_or_else(|error| panic!("a new connection to {to} failed: {error}"));
            assert_eq!(tcp::upload(&mut stream, 1000).map_err(|error| error.to_string()), Ok(1000), "to {to}");
            open.push(stream);
            clock::pass(PAUSE);
        }
    }
    open
}
