//! Two CPUs whose every access to shared memory is ordered by a plan: a race becomes a test that fails every time.

use std::{
    cell::RefCell,
    sync::{Arc, Condvar, Mutex},
    thread,
};

#[derive(Debug)]
struct Turns {
    whose: usize,
    left: usize,
    /// Steps of each following turn, last first.
    plan: Vec<usize>,
    done: [bool; 2],
}

#[derive(Debug, Clone)]
struct Cpu {
    index: usize,
    shared: Arc<(Mutex<Turns>, Condvar)>,
}

thread_local! {
    static CPU: RefCell<Option<Cpu>> = const { RefCell::new(None) };
}

/// Called before each access to shared memory; on a thread without a plan it does nothing.
pub(super) fn step() {
    let Some(cpu) = CPU.with_borrow(Clone::clone) else { return };
    let (turns, changed) = &*cpu.shared;
    let mut turns = turns.lock().unwrap();
    loop {
        if turns.whose != cpu.index {
            turns = changed.wait(turns).unwrap();
        } else if turns.left == 0 && !turns.done[1 - cpu.index] {
            turns.whose = 1 - cpu.index;
            turns.left = turns.plan.pop().unwrap_or(usize::MAX);
            changed.notify_all();
        } else {
            turns.left = turns.left.saturating_sub(1);
            return;
        }
    }
}

/// Runs `first` for `plan[0]` accesses, then `second` for `plan[1]`, and so on in turn, then whatever is left.
pub(super) fn interleave<A: Send, B: Send>(
    plan: &[usize],
    first: impl FnOnce() -> A + Send,
    second: impl FnOnce() -> B + Send,
) -> (A, B) {
    let mut rest: Vec<usize> = plan.iter().rev().copied().collect();
    let turns = Turns { whose: 0, left: rest.pop().unwrap_or(usize::MAX), plan: rest, done: [false; 2] };
    let shared = Arc::new((Mutex::new(turns), Condvar::new()));
    let other = Arc::clone(&shared);
    thread::scope(|scope| {
        let first = scope.spawn(move || on_cpu(0, &shared, first));
        let second = scope.spawn(move || on_cpu(1, &other, second));
        (first.join().unwrap(), second.join().unwrap())
    })
}

fn on_cpu<T>(index: usize, shared: &Arc<(Mutex<Turns>, Condvar)>, work: impl FnOnce() -> T) -> T {
    CPU.set(Some(Cpu { index, shared: Arc::clone(shared) }));
    let result = work();
    CPU.set(None);
    let (turns, changed) = &**shared;
    let mut turns = turns.lock().unwrap();
    turns.done[index] = true;
    turns.whose = 1 - index;
    turns.left = usize::MAX;
    changed.notify_all();
    result
}

/// Every plan of up to `switches` turns of fewer than `steps` accesses.
pub(super) fn plans(switches: u32, steps: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..steps.pow(switches)).map(move |number| (0..switches).map(|place| number / steps.pow(place) % steps).collect())
}
