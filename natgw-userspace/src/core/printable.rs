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

#[cfg(test)]
mod tests {
    use super::*;

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
