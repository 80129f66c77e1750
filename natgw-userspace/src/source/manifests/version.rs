//! One version of a manifest file. A document that the version before also had is not parsed again: parsing is nearly
//! all that a change costs in a file of thousands of objects.

use std::{collections::HashMap, io, ops::Range, sync::Arc, thread};

use super::{
    documents::{Document, split},
    node::{STACK_BYTES, SyntaxError, parse},
    object::{ObjectReader, Parsed},
};
use crate::core::diagnostic::{Diagnostic, Location, Reason, Severity};

/// The text, and what each of its documents says.
#[derive(Debug, Clone)]
pub(super) struct Version {
    text: String,
    /// In their order; each with the positions that it would have as the first.
    documents: Vec<Known>,
}

/// A document of a version.
#[derive(Debug, Clone)]
struct Known {
    /// Where it is in the text.
    bytes: Range<usize>,
    lines_before: u64,
    parsed: Arc<Parsed>,
}

impl Version {
    /// Reads the text of the file called `name`.
    ///
    /// # Errors
    /// No thread is to be had.
    pub(super) fn read(name: &str, text: String, before: Option<&Self>) -> io::Result<Self> {
        let known: HashMap<&str, &Arc<Parsed>> = before.into_iter().flat_map(Self::documents).collect();
        let documents = split(&text);
        let new: Vec<_> = documents.iter().map(|document| document.text).filter(|it| !known.contains_key(it)).collect();
        let mut new = parse_all(&name.into(), &new)?.into_iter();
        let documents = documents.into_iter().filter_map(|Document { text, start, lines_before }| {
            let parsed = known.get(text).copied().cloned().or_else(|| new.next())?;
            Some(Known { bytes: start..start + text.len(), lines_before, parsed })
        });
        let documents = documents.collect();
        Ok(Self { text, documents })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What the whole file says.
    pub(super) fn parsed(&self) -> Parsed {
        let mut parsed = Parsed::default();
        for document in &self.documents {
            parsed.add(&document.parsed, document.lines_before);
        }
        parsed
    }

    fn documents(&self) -> impl Iterator<Item = (&str, &Arc<Parsed>)> {
        let text = |document: &Known| self.text.get(document.bytes.clone()).unwrap_or_default();
        self.documents.iter().map(move |document| (text(document), &document.parsed))
    }
}

/// Parses documents, on a stack of its own.
fn parse_all(name: &Arc<str>, documents: &[&str]) -> io::Result<Vec<Arc<Parsed>>> {
    if documents.is_empty() {
        return Ok(Vec::new());
    }
    let work = || documents.iter().map(|document| Arc::new(read(name, document))).collect();
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("natgw-manifest".to_owned()).stack_size(STACK_BYTES);
        thread.spawn_scoped(scope, work)?.join().map_err(|_| io::Error::other("the parser panicked"))
    })
}

fn read(name: &Arc<str>, document: &str) -> Parsed {
    let mut parsed = Parsed::default();
    match parse(document) {
        Ok(node) => ObjectReader::new(name, &mut parsed).read(&node),
        Err(error) => {
            parsed.has_unknown_part = true;
            parsed.diagnostics.push(syntax(name, error));
        }
    }
    parsed
}

fn syntax(name: &Arc<str>, error: SyntaxError) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        reason: Reason::ManifestSyntax,
        object: None,
        field: String::new(),
        message: error.message,
        fix: "correct it; what the file last said of objects that are missing now stays in force".to_owned(),
        location: Some(Location { file: name.to_string(), position: error.at }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eip(name: &str, v4ip: &str) -> String {
        format!("kind: IptablesEIP\napiVersion: kubeovn.io/v1\nmetadata: {{name: {name}}}\nspec:\n  v4ip: {v4ip}\n")
    }

    fn starts(version: &Version) -> Vec<(String, u64)> {
        let start = |places: &super::super::places::Places| places.start().position.expect("a place").line;
        version.parsed().objects.iter().map(|(object, at)| (object.key.name.to_string(), start(at))).collect()
    }

    #[test]
    fn only_new_documents_are_parsed_and_all_are_where_they_are_now() {
        let (a, b, c) = (eip("a", "192.0.2.1"), eip("b", "192.0.2.2"), eip("c", "192.0.2.3"));
        let first = Version::read("f", format!("{a}---\n{b}---\n{c}"), None).unwrap();
        assert_eq!(starts(&first), [("a".to_owned(), 1), ("b".to_owned(), 7), ("c".to_owned(), 13)]);
        // The first is gone, a line came before the second, the last is another.
        let changed = eip("c", "192.0.2.9");
        let second = Version::read("f", format!("# gone\n---\n{b}---\n{changed}"), Some(&first)).unwrap();
        assert_eq!(starts(&second), [("b".to_owned(), 3), ("c".to_owned(), 9)]);
        assert!(Arc::ptr_eq(&first.documents[1].parsed, &second.documents[0].parsed));
        assert!(!Arc::ptr_eq(&first.documents[2].parsed, &second.documents[1].parsed));
        let (_, places) = &second.parsed().objects[1];
        assert_eq!(places.of_field("spec.v4ip").position.map(|at| (at.line, at.column)), Some((13, 9)));
    }

    #[test]
    fn a_document_after_a_byte_order_mark_or_an_end_marker_is_known_again() {
        let (a, b, c) = (eip("ä", "192.0.2.1"), eip("b", "192.0.2.2"), eip("c", "192.0.2.3"));
        let first = Version::read("f", format!("\u{feff}{a}...\n# between\n---\n{b}---\n{c}"), None).unwrap();
        let second = Version::read("f", format!("{a}...\n---\n{c}---\n{b}"), Some(&first)).unwrap();
        let again = |new: usize, old: usize| Arc::ptr_eq(&second.documents[new].parsed, &first.documents[old].parsed);
        assert!(again(0, 0), "{second:?}");
        // The last document of a file and one before it end alike.
        assert_eq!((again(1, 2), again(2, 1)), (true, true), "{second:?}");
    }

    #[test]
    fn a_mistake_that_stays_is_told_where_it_is_now() {
        let broken = "---\nkind: [\n";
        let line = |version: &Version| {
            let parsed = version.parsed();
            assert!(parsed.has_unknown_part);
            let location = parsed.diagnostics[0].location.clone().expect("a place");
            location.position.expect("a line").line
        };
        let first = Version::read("f", format!("{}{broken}", eip("a", "192.0.2.1")), None).unwrap();
        let second = Version::read("f", format!("{}{broken}", "# more\n".repeat(20)), Some(&first)).unwrap();
        assert_eq!(line(&second), line(&first) - 5 + 20);
        assert!(Arc::ptr_eq(&first.documents[1].parsed, &second.documents[0].parsed));
    }
}
