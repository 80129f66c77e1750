//! The table: one row per scenario, its bounds as they were set before anything was measured.

use std::time::Duration;

/// What is allowed. `None` is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Packets lost.
    pub lost: Option<u64>,
    /// Connections reset.
    pub resets: Option<u64>,
    /// Map entries that the new daemon writes until it is ready.
    pub map_writes: Option<u64>,
    /// Time to recovery.
    pub within: Option<Duration>,
}

impl Bound {
    const NONE: Self = Self { lost: None, resets: None, map_writes: None, within: None };
    const UNHARMED: Self = Self { lost: Some(0), resets: Some(0), ..Self::NONE };

    const fn within(self, bound: Duration) -> Self {
        Self { within: Some(bound), ..self }
    }
}

/// A scenario.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name; tests and documents use it.
    pub id: &'static str,
    /// What happens.
    pub what: &'static str,
    /// What the time is counted from and to; empty when none is taken.
    pub timed: &'static str,
    /// What is allowed.
    pub bound: Bound,
}

/// The longest wait between two attempts to reach the API server, with its scatter.
const BACKOFF_STEP: Duration = Duration::from_millis(12_500);

/// All rows.
pub const TABLE: &[Row] = &[
    Row {
        id: "R1",
        what: "the daemon is killed (SIGKILL) and started again; namespace and bpffs intact",
        timed: "exec to ready",
        bound: Bound { map_writes: Some(0), ..Bound::UNHARMED }.within(Duration::from_secs(1)),
    },
    Row {
        id: "R2",
        what: "node reboot: a new namespace, an empty bpffs, the same pod object",
        timed: "exec, with interfaces and API server there, to the last kind of rule that translates again",
        bound: Bound::NONE.within(Duration::from_secs(1)),
    },
    Row {
        id: "R2 at scale",
        what: "the same with 1,000 EIPs and 10,000 rules",
        timed: "exec, with interfaces and API server there, to all rules written and every port mapping of a sample translating",
        bound: Bound::NONE.within(Duration::from_secs(2)),
    },
    Row {
        id: "R3",
        what: "pod made again on the same node: a new namespace, bpffs intact",
        timed: "exec to the last kind of rule that translates again",
        bound: Bound { resets: Some(0), ..Bound::NONE },
    },
    Row {
        id: "R4",
        what: "an interface is deleted and comes again with a new MAC",
        timed: "interface there to programs attached",
        bound: Bound { resets: Some(0), ..Bound::NONE }.within(Duration::from_millis(100)),
    },
    Row {
        id: "R5",
        what: "API server unreachable at start",
        timed: "API server back to what changed meanwhile being in force",
        bound: Bound::UNHARMED.within(BACKOFF_STEP),
    },
    Row {
        id: "R6",
        what: "objects changed and deleted while the daemon was down",
        timed: "exec to the difference being in force",
        bound: Bound::UNHARMED,
    },
    Row {
        id: "R7",
        what: "drift: map entries deleted and changed, an address removed, a program detached, a qdisc flushed",
        timed: "drift to the last repair",
        bound: Bound::UNHARMED.within(Duration::from_secs(10)),
    },
    Row {
        id: "R8",
        what: "malformed and conflicting objects among a hundred good ones",
        timed: "",
        bound: Bound::UNHARMED,
    },
    Row { id: "R9", what: "upgrade, same map ABI", timed: "exec to ready", bound: Bound::UNHARMED },
    Row {
        id: "R10",
        what: "upgrade, new map ABI; back to the old one, which is refused",
        timed: "exec to ready",
        bound: Bound { resets: Some(0), ..Bound::NONE },
    },
    Row {
        id: "R11",
        what: "killed at 200 random points of start and reconcile while the rules change",
        timed: "",
        bound: Bound::UNHARMED,
    },
    Row {
        id: "R12",
        what: "the old container is still terminating while the new one starts",
        timed: "end of the old one to ready of the new one",
        bound: Bound::UNHARMED.within(Duration::from_secs(1)),
    },
    Row {
        id: "R13",
        what: "traffic that began before its rule existed",
        timed: "the request that creates the rule to the first translated packet",
        bound: Bound::UNHARMED,
    },
];

/// The row called `id`.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn row(id: &str) -> &'static Row {
    TABLE.iter().find(|row| row.id == id).unwrap_or_else(|| panic!("the recovery table has no row {id}"))
}
