//! Cuts a file into YAML documents, so that one that is broken cannot hide the others.
//!
//! A line that begins with `---` or `...` followed by white space ends a document wherever it stands, even inside a
//! quoted or block scalar (YAML 1.2.2, `c-forbidden`), so looking at line beginnings is exact.

/// One document and where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Document<'a> {
    /// Its text, with its own `---` line.
    pub(super) text: &'a str,
    /// The first byte of it in the file.
    pub(super) start: usize,
    /// Lines of the file before it.
    pub(super) lines_before: u64,
}

/// The documents of `file`, without those that hold only comments and directives.
pub(super) fn split(file: &str) -> Vec<Document<'_>> {
    let mark = if file.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let file = &file[mark..];
    let mut documents = Vec::new();
    let mut start = 0;
    let mut start_line = 0;
    let mut end = 0;
    for (number, line) in (0_u64..).zip(file.split_inclusive('\n')) {
        if is_marker(line, "---") {
            documents.push(Document { text: &file[start..end], start: mark + start, lines_before: start_line });
            (start, start_line) = (end, number);
        }
        end += line.len();
        if is_marker(line, "...") {
            documents.push(Document { text: &file[start..end], start: mark + start, lines_before: start_line });
            (start, start_line) = (end, number + 1);
        }
    }
    documents.push(Document { text: &file[start..], start: mark + start, lines_before: start_line });
    documents.retain(|document| document.text.lines().any(has_content));
    documents
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Whether a line is more than a comment, a directive or a bare marker.
fn has_content(line: &str) -> bool {
    let text = if is_marker(line, "---") || is_marker(line, "...") { &line[3..] } else { line };
    let text = text.trim_start();
    !text.is_empty() && !text.starts_with('#') && !line.starts_with('%')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(file: &str) -> Vec<(u64, &str)> {
        split(file).into_iter().map(|d| (d.lines_before, d.text)).collect()
    }

    #[test]
    fn documents_keep_their_line_numbers() {
        let file = "# first\na: 1\n---\nb: 2\n--- # third\nc: 3\n...\n# nothing\n---\n---\n  \nd: 4";
        assert_eq!(
            texts(file),
            [(0, "# first\na: 1\n"), (2, "---\nb: 2\n"), (4, "--- # third\nc: 3\n...\n"), (9, "---\n  \nd: 4")]
        );
    }

    #[test]
    fn directives_comments_and_byte_order_marks_are_no_documents() {
        assert_eq!(texts(""), []);
        assert_eq!(texts("\u{feff}# only\n\n"), []);
        assert_eq!(texts("%YAML 1.2\n---\r\na: 1\r\n"), [(1, "---\r\na: 1\r\n")]);
        assert_eq!(texts("--- {a: 1}"), [(0, "--- {a: 1}")]);
    }

    #[test]
    fn dashes_that_are_no_marker_stay_inside() {
        assert_eq!(texts("a: |\n  ---\n----\n---x\n- - -\n").len(), 1);
    }
}
