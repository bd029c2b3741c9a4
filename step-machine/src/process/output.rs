//! What is kept of a command's output.

use std::collections::VecDeque;
use std::process::ExitStatus;

/// What a command that succeeded leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOutput {
    pub(super) status: ExitStatus,
    pub(super) stdout: Captured,
    pub(super) stderr: Captured,
}

impl CommandOutput {
    /// How it ended.
    pub fn status(&self) -> ExitStatus {
        self.status
    }

    /// Its standard output, up to the last [`STDOUT_KEPT`](super::STDOUT_KEPT) bytes.
    pub fn stdout(&self) -> &Captured {
        &self.stdout
    }

    /// Its standard error, up to the last [`STDERR_KEPT`](super::STDERR_KEPT) bytes.
    pub fn stderr(&self) -> &Captured {
        &self.stderr
    }
}

/// The text that a command wrote to one of its outputs, or the end of it.
///
/// It is what the command wrote to the letter, ends of lines included; what is no UTF-8 is U+FFFD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    text: String,
    lost: u64,
}

impl Captured {
    /// The text, where all of it was kept.
    pub fn whole(&self) -> Option<&str> {
        (self.lost == 0).then_some(&*self.text)
    }

    /// What was kept of the text: its last lines, or all of it.
    pub fn end(&self) -> &str {
        &self.text
    }

    /// How many bytes before [`end`](Self::end) were not kept.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

/// The last bytes of a text that may be endless.
#[derive(Debug)]
pub(super) struct Tail {
    bytes: VecDeque<u8>,
    limit: usize,
    lost: u64,
}

impl Tail {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: VecDeque::new(), limit, lost: 0 }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let (before, bytes) = bytes.split_at(bytes.len().saturating_sub(self.limit));
        self.lost += before.len() as u64;
        // Room is made first, so that the buffer never grows past the limit.
        self.lose((self.bytes.len() + bytes.len()).saturating_sub(self.limit));
        self.bytes.extend(bytes);
    }

    fn lose(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.lost += count as u64;
    }

    pub(super) fn into_captured(mut self) -> Captured {
        if self.lost > 0 {
            self.lose(self.torn());
        }
        let text = String::from_utf8(self.bytes.into());
        let text = text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Captured { text, lost: self.lost }
    }

    /// How much at the start belongs to a line that has lost its own, or at least to a character that has.
    fn torn(&self) -> usize {
        let line = self.bytes.iter().position(|&byte| byte == b'\n').map(|end| end + 1);
        let character = || self.bytes.iter().take_while(|&byte| byte & 0xC0 == 0x80).count();
        line.filter(|&end| end < self.bytes.len()).unwrap_or_else(character)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(limit: usize, pieces: &[&[u8]]) -> Captured {
        let mut tail = Tail::new(limit);
        for piece in pieces {
            tail.push(piece);
            assert!(tail.bytes.len() <= limit);
        }
        tail.into_captured()
    }

    #[test]
    fn what_fits_is_whole() {
        let text = captured(8, &[b"ab\r\n", b"\xFFc\n"]);
        assert_eq!((text.whole(), text.lost()), (Some("ab\r\n\u{FFFD}c\n"), 0));
        assert_eq!(captured(4, &[b"ab", b"cd"]).whole(), Some("abcd"));
    }

    #[test]
    fn what_does_not_fit_is_its_last_whole_lines() {
        let text = captured(8, &[b"one\ntwo\n", b"six\n"]);
        assert_eq!((text.whole(), text.end(), text.lost()), (None, "six\n", 8));
        let text = captured(8, &[b"one\ntwo\nthree\n"]);
        assert_eq!((text.end(), text.lost()), ("three\n", 8));
    }

    #[test]
    fn a_line_that_does_not_fit_is_its_last_whole_characters() {
        let text = captured(4, &["xyzäbc\n".as_bytes()]);
        assert_eq!((text.end(), text.lost()), ("bc\n", 5));
        let text = captured(2, &[b"abc", b"d"]);
        assert_eq!((text.end(), text.lost()), ("cd", 2));
    }
}
