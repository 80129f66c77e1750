//! Text of others, made safe to print.
//!
//! A name or a value of a manifest may hold escape sequences that move a terminal's cursor, line ends that look like
//! another message, or characters that reverse the direction of what follows.

use std::fmt::{self, Write as _};

/// Prints its text with control and bidirectional formatting characters as `\u{..}`.
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if is_harmful(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// C0 and C1 controls, line and paragraph separators, and the characters of UAX #9 that change directions.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// [`Printable`] as a string.
#[must_use]
pub fn printable(text: &str) -> String {
    Printable(text).to_string()
}

/// The same for a text of several lines: line ends stay.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// The longest sentence about one value, in bytes: names have at most 253, and some sentences have three of them.
const SENTENCE_MAX: usize = 2000;

/// A sentence that quotes a value of any size, cut to what a log line can hold.
#[must_use]
pub fn shortened(mut sentence: String) -> String {
    if sentence.len() > SENTENCE_MAX {
        sentence.truncate(sentence.floor_char_boundary(SENTENCE_MAX));
        sentence.push_str(" ...");
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_cut_between_characters_and_only_when_it_is_too_long() {
        assert_eq!(shortened("ä".repeat(1000)), "ä".repeat(1000));
        assert_eq!(shortened(format!("x{}", "ä".repeat(1000))), format!("x{} ...", "ä".repeat(999)));
    }

    #[test]
    fn escapes_line_ends_and_reversals_are_spelled_out() {
        assert_eq!(printable("a\x1b[2Jb\r\nc\u{9b}31m"), "a\\u{1b}[2Jb\\r\\nc\\u{9b}31m");
        assert_eq!(printable("\u{202e}fdp.exe\u{2066}"), "\\u{202e}fdp.exe\\u{2066}");
        assert_eq!(printable_lines("a\x07\nb"), "a\\u{7}\nb");
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in ["", "spec.v4ip", "`ä` 日本 שלום \"x\" \\"] {
            assert_eq!(printable(text), text);
        }
    }
}
