//! One cluster for all tests of a process that leave its servers alone. Starting one takes seconds.

use std::sync::{Arc, Mutex};

use super::Cluster;

static SHARED: Mutex<Option<Arc<Cluster>>> = Mutex::new(None);

/// The cluster of this process, started by the first test that asks. Tests share its objects: each uses names of its own,
/// such as [`crate::scratch::unique_name`].
///
/// # Panics
/// When it does not start, for every test that asks.
#[must_use]
pub fn shared() -> Arc<Cluster> {
    let mut shared = SHARED.lock().expect("the cluster of this process did not start; the first failure says why");
    let cluster = shared.get_or_insert_with(|| {
        // SAFETY: `end` is a function of this program and does not unwind.
        let refused = unsafe { libc::atexit(end) };
        assert_eq!(refused, 0, "there is room for one more exit handler");
        Arc::new(Cluster::start())
    });
    Arc::clone(cluster)
}

/// A static is never dropped. The kernel would end the servers with this process; their files would stay.
extern "C" fn end() {
    // Held only while a start is under way.
    if let Ok(shared) = SHARED.try_lock()
        && let Some(cluster) = shared.as_ref()
    {
        cluster.end();
    }
}
