//! Errors of the API server in words that say what to do.

use std::error::Error;

use kube::{core::Status, runtime::watcher};

use super::watched::group;
use crate::core::objects::Kind;

/// An error and all its causes in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = inner.source();
    }
    text
}

/// Why the objects of `kind` are not to be had, and what to do about it.
#[must_use]
pub(super) fn explain(kind: Kind, error: &watcher::Error) -> String {
    let (plural, group) = (kind.plural(), group());
    match status_code(error) {
        Some(404) => format!(
            "the CRD `{plural}.{group}` is not installed; kube-ovn brings it, or: natgw crds | kubectl apply -f -"
        ),
        Some(403) => format!(
            "listing and watching `{plural}.{group}` is forbidden; the ServiceAccount needs get, list and watch on it \
             (deploy/base/manifests/rbac.yaml)"
        ),
        Some(401) => format!(
            "the API server does not accept the credentials for `{plural}.{group}` (an expired token is read again from \
             its file within a minute)"
        ),
        Some(410) => format!("the watch of `{plural}.{group}` is too old for the server; listing again"),
        Some(_) | None => format!("cannot read `{plural}.{group}`: {}", chain(error)),
    }
}

/// The HTTP status that the server answered with.
fn status_code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => answer(error).map(|status| status.code),
        watcher::Error::WatchError(status) => Some(status.code),
        watcher::Error::NoResourceVersion => None,
    }
}

/// What the server answered, if it did.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other error came about without an answer")]
pub(super) fn answer(error: &kube::Error) -> Option<&Status> {
    match error {
        kube::Error::Api(status) => Some(status),
        _ => None,
    }
}

/// Whether the server says that this is no failure but a list that has to be made anew.
#[must_use]
pub(super) fn is_expired(error: &watcher::Error) -> bool {
    status_code(error) == Some(410)
}
