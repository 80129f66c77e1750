//! Counts from what libtest prints with `--show-output`.
//!
//! Only the header `running N tests` and the line `test result:` are counted: the lines between can be torn by what
//! tests print. A header without a result is a test process that died, and its tests count as failed.

use std::collections::BTreeSet;

/// How a test says that this kernel or machine cannot run it.
const SKIPPED: &str = "SKIPPED: ";

/// Results of one or more test processes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// In which part of libtest's output a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Running,
    /// `successes:`, printed by `--show-output`: noise, except for skips.
    Successes,
    Failures,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// It is printed as it is.
    Line,
    /// It is not printed.
    Hidden,
    /// This is printed in its place.
    Instead(String),
}

/// Reads the output line by line.
#[derive(Debug)]
pub(crate) struct Reader {
    part: Part,
    /// The test whose output follows.
    test: String,
    /// Tests announced by a header whose result has not come.
    pending: Option<u64>,
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Names, or for output that no test owns the line itself.
    skips: BTreeSet<String>,
    /// Skips of the process that is running: names repeat between processes.
    processes: u64,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            part: Part::Running,
            test: String::new(),
            pending: None,
            passed: 0,
            failed: 0,
            ignored: 0,
            skips: BTreeSet::new(),
            processes: 0,
        }
    }

    /// Takes one line and says how to show it.
    pub(crate) fn line(&mut self, line: &str) -> Shown {
        // Among the output of finished tests a header is something that a test has printed.
        let printed = self.pending.is_some() && self.part != Part::Running;
        if let Some(count) = parse_header(line).filter(|_| !printed) {
            self.abandon();
            self.pending = Some(count);
            self.processes += 1;
            self.part = Part::Running;
            return if count == 0 { Shown::Hidden } else { Shown::Line };
        }
        if let Some(result) = parse_result(line) {
            let empty = result == (0, 0, 0);
            self.passed += result.0;
            self.failed += result.1;
            self.ignored += result.2;
            self.pending = None;
            self.part = Part::Running;
            return if empty { Shown::Hidden } else { Shown::Line };
        }
        match line {
            "successes:" => self.part = Part::Successes,
            "failures:" => self.part = Part::Failures,
            _ => {}
        }
        if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            name.clone_into(&mut self.test);
        }
        match self.part {
            Part::Failures => Shown::Line,
            Part::Running if line.is_empty() => Shown::Hidden,
            Part::Running => match line.strip_prefix(SKIPPED) {
                // Printed past libtest's capture (by a thread or a child): only the reason is known.
                Some(_) => self.skip(line, line.to_owned()),
                None => Shown::Line,
            },
            Part::Successes => match line.strip_prefix(SKIPPED) {
                Some(reason) => self.skip(&self.test.clone(), format!("{SKIPPED}{}: {reason}", self.test)),
                None => Shown::Hidden,
            },
        }
    }

    fn skip(&mut self, name: &str, shown: String) -> Shown {
        let first = self.skips.insert(format!("{} {name}", self.processes));
        if first { Shown::Instead(shown) } else { Shown::Hidden }
    }

    /// The process behind the last header died before its result.
    fn abandon(&mut self) {
        self.failed += self.pending.take().map_or(0, |tests| tests.max(1));
    }

    /// The counts, given whether cargo was content: a failure without a failed test is one more failure.
    pub(crate) fn finish(mut self, success: bool) -> Counts {
        self.abandon();
        let skips = self.skips.len() as u64;
        let failed = if success { self.failed } else { self.failed.max(1) };
        // To libtest a test that skipped itself has passed.
        Counts { passed: self.passed.saturating_sub(skips), failed, skipped: self.ignored + skips }
    }
}

/// `running 3 tests`, `running 1 test`.
fn parse_header(line: &str) -> Option<u64> {
    let (count, unit) = line.strip_prefix("running ")?.split_once(' ')?;
    if unit == "test" || unit == "tests" { count.parse().ok() } else { None }
}

/// Passed, failed and ignored of `test result: FAILED. 1 passed; 2 failed; 3 ignored; ...`.
fn parse_result(line: &str) -> Option<(u64, u64, u64)> {
    // A test that printed without a newline may stand before it.
    let (_, rest) = line.split_once("test result: ")?;
    let (_, counts) = rest.split_once(". ")?;
    let count = |word: &str| {
        let entry = counts.split("; ").find_map(|entry| entry.strip_suffix(word));
        entry.and_then(|number| number.trim().parse().ok())
    };
    Some((count(" passed")?, count(" failed")?, count(" ignored")?))
}

#[cfg(test)]
mod tests;
