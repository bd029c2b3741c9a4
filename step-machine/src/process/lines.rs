//! Bytes to lines, as they come and in bounded memory.

use std::fmt::Write as _;

use super::LINE_LIMIT;

/// Splits what a command writes into lines, without ever holding more than [`LINE_LIMIT`] bytes of one.
///
/// A line ends at `\n`, `\r\n`, or a `\r` alone: a progress bar that draws itself over and over is a line each time. A
/// `\r` with nothing before it only moves the cursor, so it is no line.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    left_out: u64,
    /// Whether a `\r` has just ended a line: a `\n` after it ends the same one.
    returned: bool,
}

impl Lines {
    /// Reads on, and hands every line that ends here to `pass`.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut pass: impl FnMut(String)) {
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend(&bytes[..end]);
            if self.ends_at(bytes[end]) {
                pass(self.take());
            }
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes);
    }

    /// The last line, where no end of line came after it.
    pub(super) fn finish(&mut self) -> Option<String> {
        (!self.line.is_empty()).then(|| self.take())
    }

    fn extend(&mut self, bytes: &[u8]) {
        let (kept, left_out) = bytes.split_at(bytes.len().min(LINE_LIMIT - self.line.len()));
        self.line.extend_from_slice(kept);
        self.left_out += left_out.len() as u64;
        self.returned &= bytes.is_empty();
    }

    /// Whether this end of line is that of a line not passed on yet.
    fn ends_at(&mut self, end: u8) -> bool {
        if end == b'\n' {
            return !std::mem::take(&mut self.returned);
        }
        self.returned |= !self.line.is_empty();
        !self.line.is_empty()
    }

    fn take(&mut self) -> String {
        let mut left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            let whole = whole_characters(&self.line);
            left_out += (self.line.len() - whole) as u64;
            self.line.truncate(whole);
        }
        let mut text = String::from_utf8_lossy(&self.line).into_owned();
        if left_out > 0 {
            let _ = write!(text, " [{left_out} bytes left out]");
        }
        self.line.clear();
        text
    }
}

/// How much is left without the character that a cut went through.
fn whole_characters(bytes: &[u8]) -> usize {
    let Some(last) = bytes.iter().rposition(|byte| byte & 0xC0 != 0x80) else { return bytes.len() };
    match std::str::from_utf8(&bytes[last..]) {
        Err(error) if error.error_len().is_none() => last,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a text that comes in pieces.
    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.push(piece, |line| found.push(line));
            assert!(lines.line.len() <= LINE_LIMIT);
        }
        found.extend(lines.finish());
        found
    }

    #[test]
    fn a_line_ends_at_every_kind_of_end_wherever_it_is_torn() {
        let cases: [(&str, &[&str]); 8] = [
            ("a\nb\n", &["a", "b"]),
            ("a\n\nb", &["a", "", "b"]),
            ("a\r\n\r\nb\r\n", &["a", "", "b"]),
            ("\r10%\r20%\r\rdone\n", &["10%", "20%", "done"]),
            ("a\r\r\nb", &["a", "b"]),
            ("a\r\n\nb", &["a", "", "b"]),
            ("a\n\rb", &["a", "b"]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(lines(&[text.as_bytes()]), expected, "{text:?}");
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(lines(&bytes), expected, "{text:?} byte by byte");
        }
    }

    #[test]
    fn a_line_is_cut_at_the_limit_and_not_before() {
        let line = "x".repeat(LINE_LIMIT);
        assert_eq!(lines(&[line.as_bytes(), b"\nnext\n"]), [&line, "next"]);
        assert_eq!(lines(&[line.as_bytes(), b"yz", b"\nnext\n"]), [&format!("{line} [2 bytes left out]"), "next"]);
        assert_eq!(lines(&[line.as_bytes(), b"y"]), [format!("{line} [1 bytes left out]")]);
    }

    #[test]
    fn no_character_is_cut_through() {
        for cut in 1..4 {
            let line = "x".repeat(LINE_LIMIT - cut);
            let text = format!("{line}\u{1F980}\n");
            assert_eq!(lines(&[text.as_bytes()]), [format!("{line} [4 bytes left out]")]);
        }
        let whole = "x".repeat(LINE_LIMIT - 4) + "\u{1F980}";
        assert_eq!(lines(&[whole.as_bytes(), b"y"]), [format!("{whole} [1 bytes left out]")]);
    }

    #[test]
    fn what_is_no_text_becomes_a_sign_that_says_so() {
        assert_eq!(lines(&[b"a\xFFb\xC3", b"\n"]), ["a\u{FFFD}b\u{FFFD}"]);
        assert_eq!(lines(&[b"\xC3", b"\xA4\n"]), ["ä"]);
        let noise = vec![0x80; LINE_LIMIT + 1];
        assert_eq!(lines(&[&noise]), ["\u{FFFD}".repeat(LINE_LIMIT) + " [1 bytes left out]"]);
    }
}
