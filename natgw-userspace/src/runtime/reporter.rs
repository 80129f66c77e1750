//! Says each problem once when it appears and once when it is resolved, however often it is looked at.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::diagnostic::{Diagnostic, Severity};

/// What is wrong now, as last said.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    /// Problems of doing, by the area that reports them as a whole.
    problems: BTreeMap<&'static str, BTreeSet<String>>,
    diagnostics: BTreeMap<String, Diagnostic>,
}

impl Reporter {
    /// Everything that is wrong in `area` now; what was and is not any more is resolved. Returns how many there are.
    pub(super) fn problems(&mut self, area: &'static str, now: impl IntoIterator<Item = String>) -> usize {
        let now: BTreeSet<String> = now.into_iter().collect();
        let before = self.problems.entry(area).or_default();
        for problem in now.difference(before) {
            tracing::error!(area, "{problem}");
        }
        for problem in before.difference(&now) {
            tracing::info!(area, "resolved: {problem}");
        }
        *before = now;
        before.len()
    }

    /// What is wrong now in these areas, in words.
    #[must_use]
    pub(super) fn outstanding(&self, areas: &[&str]) -> Vec<String> {
        areas.iter().filter_map(|area| self.problems.get(area)).flatten().cloned().collect()
    }

    /// Everything that is wrong with the objects now.
    pub(super) fn diagnostics(&mut self, now: Vec<Diagnostic>) {
        let now: BTreeMap<String, Diagnostic> = now.into_iter().map(|one| (identity(&one), one)).collect();
        for (key, diagnostic) in &now {
            if !self.diagnostics.contains_key(key) {
                announce(diagnostic);
            }
        }
        for (key, diagnostic) in &self.diagnostics {
            if !now.contains_key(key) {
                let object = diagnostic.object.as_ref().map(tracing::field::display);
                tracing::info!(object, reason = %diagnostic.reason, "resolved: {diagnostic}");
            }
        }
        self.diagnostics = now;
    }
}

/// Without the place: an edit above it in the same file is no news.
fn identity(diagnostic: &Diagnostic) -> String {
    let file = diagnostic.location.as_ref().filter(|_| diagnostic.object.is_none()).map(ToString::to_string);
    format!(
        "{:?}|{}|{:?}|{}|{}|{:?}",
        diagnostic.severity, diagnostic.reason, diagnostic.object, diagnostic.field, diagnostic.message, file
    )
}

fn announce(diagnostic: &Diagnostic) {
    let object = diagnostic.object.as_ref().map(tracing::field::display);
    let field = Some(diagnostic.field.as_str()).filter(|field| !field.is_empty());
    match diagnostic.severity {
        Severity::Error => tracing::error!(object, field, reason = %diagnostic.reason, "{diagnostic}"),
        Severity::Warning => tracing::warn!(object, field, reason = %diagnostic.reason, "{diagnostic}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::diagnostic::{Location, Position, Reason};

    fn diagnostic(line: u64) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            reason: Reason::InvalidPort,
            object: Some(crate::core::objects::ObjectKey::new(crate::core::objects::Kind::IptablesDnatRule, "web")),
            field: "spec.externalPort".to_owned(),
            message: "`http` is not a port".to_owned(),
            fix: "write a number from 1 to 65535".to_owned(),
            location: Some(Location { file: "rules.yaml".to_owned(), position: Some(Position { line, column: 3 }) }),
        }
    }

    #[test]
    fn problems_are_counted_and_forgotten_per_area() {
        let mut reporter = Reporter::default();
        assert_eq!(reporter.problems("addresses", ["a".to_owned(), "b".to_owned(), "a".to_owned()]), 2);
        assert_eq!(reporter.problems("routes", ["c".to_owned()]), 1);
        assert_eq!(reporter.problems("addresses", []), 0);
        assert_eq!(reporter.outstanding(&["addresses", "routes", "maps"]), ["c"]);
    }

    #[test]
    fn a_diagnostic_that_only_moved_is_the_same() {
        assert_eq!(identity(&diagnostic(4)), identity(&diagnostic(40)));
    }
}
