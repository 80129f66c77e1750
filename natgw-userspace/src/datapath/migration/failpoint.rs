//! Where the tests let the process die.

/// Ends the process as a kill would, when `NATGW_DIE_AT` names this step. Only in the tests' own build.
#[cfg(feature = "abi-next")]
pub(super) fn at(step: &str) {
    if std::env::var_os("NATGW_DIE_AT").is_some_and(|wanted| wanted == step) {
        let _ends_here = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    }
}

/// Nothing.
#[cfg(not(feature = "abi-next"))]
pub(super) const fn at(_step: &str) {}
