//! Errors of the API server in words that say what to do.

use std::{error::Error, time::Duration};

use kube::{core::Status, runtime::watcher};

use super::watched::group;
use crate::core::{objects::Kind, printable::shortened};

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
        Some(_) | None => {
            format!("cannot read `{plural}.{group}`: {}", answered(error).unwrap_or_else(|| chain(error)))
        }
    }
}

/// What the server said, if it did so in words.
fn answered(error: &watcher::Error) -> Option<String> {
    let status = status(error).filter(|status| !status.message.is_empty())?;
    Some(format!("the API server answered {}: {}", status.code, shortened(status.message.clone())))
}

/// When the server wants to be asked again, if its answer says so: it is starting. (One that has too much to do says it in a
/// header, which kube does not hand on.)
pub(super) fn retry_after(error: &watcher::Error) -> Option<Duration> {
    let seconds = status(error)?.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

/// The HTTP status that the server answered with.
fn status_code(error: &watcher::Error) -> Option<u16> {
    status(error).map(|status| status.code)
}

fn status(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => answer(error),
        watcher::Error::WatchError(status) => Some(status),
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

#[cfg(test)]
mod tests {
    use kube::core::response::StatusDetails;

    use super::*;

    fn starting(retry_after_seconds: u32) -> watcher::Error {
        let (name, group, kind, uid) = Default::default();
        let details = StatusDetails { name, group, kind, uid, causes: Vec::new(), retry_after_seconds };
        let status =
            Status::failure("storage is (re)initializing", "TooManyRequests").with_code(429).with_details(details);
        watcher::Error::WatchStartFailed(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn what_the_server_says_is_told_without_its_wrapping() {
        let text = "cannot read `iptables-eips.kubeovn.io`: the API server answered 429: storage is (re)initializing";
        assert_eq!(explain(Kind::IptablesEip, &starting(1)), text);
    }

    #[test]
    fn a_server_says_itself_when_to_come_again() {
        assert_eq!(retry_after(&starting(7)), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&starting(0)), None);
        assert_eq!(retry_after(&watcher::Error::NoResourceVersion), None);
    }
}
