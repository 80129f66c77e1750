//! The rule maps, and the sessions of rules that are gone.

use tokio::task::block_in_place;

use super::Daemon;
use crate::core::plan::{MapOp, Plan, plan};
use crate::runtime::{sweeper, telling::describe, work::Cause};

/// The result of comparing and writing the rule maps.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) plan: Plan,
    pub(super) ended: u64,
    pub(super) errors: Vec<String>,
    /// Writes that the kernel refused.
    failed: Vec<(MapOp, String)>,
}

impl Daemon<'_> {
    /// Compares the rule maps with what should be there and writes the difference. For a change of the objects the maps
    /// are not read again: nobody else writes them, and whoever does so all the same is noticed at the next resync.
    pub(super) fn write_rules(&mut self, cause: Cause) -> Written {
        let known = self.known.take().filter(|_| cause == Cause::Change);
        let read = || block_in_place(|| self.datapath.maps().read_actual());
        let mut actual = match known.map_or_else(read, Ok) {
            Ok(actual) => actual,
            Err(error) => return Written { errors: vec![error.to_string()], ..Written::default() },
        };
        self.refresh_effective();
        let plan = plan(&self.effective, &actual);
        let mut written = Written::default();
        let maps = self.datapath.maps();
        block_in_place(|| {
            for op in &plan.ops {
                match maps.apply(op) {
                    Ok(()) => actual.apply(op),
                    Err(error) => {
                        written.errors.push(format!("{}: {error}", describe(op)));
                        written.failed.push((*op, error.to_string()));
                    }
                }
            }
        });
        self.known = written.failed.is_empty().then_some(actual);
        let gone =
            plan.ops.iter().filter_map(|op| if let MapOp::DelEip(eip) = op { Some((*eip).into()) } else { None });
        self.unprogrammed = written.failed.iter().filter_map(|(op, _)| refused_eip(op)).collect();
        self.publishing.maps_written(&written.failed, &self.effective);
        self.observer.maps_written(&written.failed);
        self.network.forget(gone);
        self.pending_end.extend_from_slice(&plan.end);
        written.ended = self.end_sessions(&mut written.errors);
        written.plan = plan;
        written
    }

    fn end_sessions(&mut self, errors: &mut Vec<String>) -> u64 {
        if self.pending_end.is_empty() {
            return 0;
        }
        let outcome = match &self.sweeper {
            Some(sweeper) => block_in_place(|| sweeper.end(&self.pending_end)).map_err(|error| error.to_string()),
            None => Err("the sweeper is not available".to_owned()),
        };
        match outcome {
            Ok(ended) => {
                self.pending_end.clear();
                ended
            }
            Err(error) => {
                errors.push(format!("cannot end the sessions of removed rules: {error}"));
                0
            }
        }
    }

    pub(super) fn open_sweepers(&mut self) {
        match self.datapath.sweeper() {
            Ok(sweeper) => self.sweeper = Some(sweeper),
            Err(error) => tracing::error!(%error, "cannot open the sweeper; sessions of removed rules will time out"),
        }
    }

    pub(in crate::runtime) fn start_sweeping(&self) {
        if let Ok(sweeper) = self.datapath.sweeper() {
            sweeper::spawn(sweeper, self.options.sweep, self.observer.metrics.sessions.clone());
        }
    }

    /// Once after an adoption, as soon as every rule is known: before, a session's rule may only not have been read.
    pub(super) fn end_orphans(&mut self) {
        if !(self.orphans_due && self.ready && self.complete) {
            return;
        }
        self.orphans_due = false;
        let paths = self.paths.clone();
        let Ok(sweeper) = self.datapath.sweeper() else { return };
        tokio::task::spawn_blocking(move || match sweeper::end_orphans(&paths, &sweeper) {
            Ok(0) => {}
            Ok(ended) => tracing::info!(ended, "ended sessions whose rule went while no daemon ran"),
            Err(error) => tracing::error!(%error, "cannot look for sessions without a rule"),
        });
    }
}

fn refused_eip(op: &MapOp) -> Option<[u8; 4]> {
    if let MapOp::PutEip(eip, _) = op { Some(*eip) } else { None }
}
