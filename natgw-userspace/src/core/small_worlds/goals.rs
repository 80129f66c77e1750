//! The goals of all walks, shared among the CPUs.

use std::thread;

/// One thread's share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goals {
    first: usize,
    step: usize,
}

impl Goals {
    /// Which of `all` they are.
    pub(super) fn of<T>(self, all: &[T]) -> impl Iterator<Item = usize> {
        (self.first..all.len()).step_by(self.step)
    }

    /// Runs `work` once per CPU.
    pub(super) fn shared<R: Send>(work: impl Fn(Self) -> R + Sync) -> Vec<R> {
        let step = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = (0..step).map(|first| scope.spawn(move || work(Self { first, step }))).collect();
            threads.into_iter().map(|thread| thread.join().expect("the walk has said why it failed")).collect()
        })
    }
}
