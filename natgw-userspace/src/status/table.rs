//! Plain aligned columns: no frames, so that `grep`, `awk` and `cut` work.

use std::io::IsTerminal;

use crate::{core::printable::printable, logging};

/// Columns with a heading line, two spaces apart, no trailing blanks.
pub(super) fn columns(heading: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let heading = heading.iter().map(|cell| (*cell).to_owned()).collect();
    let printable = |row: Vec<String>| row.iter().map(|cell| printable(cell)).collect();
    let lines: Vec<Vec<String>> = std::iter::once(heading).chain(rows.into_iter().map(printable)).collect();
    let count = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// A section heading, bold on a terminal.
pub(super) fn heading(text: &str) -> String {
    if logging::colours(std::io::stdout().is_terminal()) {
        format!("\x1b[1m{text}\x1b[0m\n")
    } else {
        format!("{text}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_steer_the_terminal() {
        let text = columns(&["HOLDER"], [vec!["natgw\u{1b}[2J".to_owned()]]);
        assert_eq!(text, "HOLDER\nnatgw\\u{1b}[2J\n");
    }

    #[test]
    fn columns_are_aligned_without_frames() {
        let text = columns(&["EIP", "KIND"], [vec!["203.0.113.10".to_owned(), "fip".to_owned()]]);
        assert_eq!(text, "EIP           KIND\n203.0.113.10  fip\n");
    }
}
