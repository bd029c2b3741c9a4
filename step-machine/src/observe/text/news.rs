//! What a step has told since its last line.

use std::collections::VecDeque;

use super::clean::one_line;
use crate::event::Level;

/// How many messages a line has room for.
const ROOM: usize = 8;

/// Messages that wait for the line that a step ends with. However many there are, only the last ones are kept.
#[derive(Debug, Default)]
pub(super) struct News {
    last: VecDeque<String>,
    others: usize,
    has_warning: bool,
}

impl News {
    pub(super) fn add(&mut self, level: Level, message: &str) {
        let message = one_line(message);
        let is_bad = matches!(level, Level::Warning | Level::Error);
        self.has_warning |= is_bad;
        let text = if is_bad { format!("{level}: {message}") } else { message.into_owned() };
        if self.last.back() == Some(&text) {
            return;
        }
        if self.last.len() == ROOM {
            self.last.pop_front();
            self.others += 1;
        }
        self.last.push_back(text);
    }

    pub(super) fn has_warning(&self) -> bool {
        self.has_warning
    }

    /// What was told last.
    pub(super) fn last(&self) -> &str {
        self.last.back().map_or("", String::as_str)
    }

    /// All of it on one line.
    pub(super) fn into_text(self) -> String {
        let others = (self.others > 0).then(|| format!("({} more)", self.others));
        others.into_iter().chain(self.last).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_messages_are_kept_and_the_others_counted() {
        let mut news = News::default();
        (0..10_000).for_each(|n| news.add(Level::Info, &n.to_string()));
        news.add(Level::Info, "9999");
        news.add(Level::Warning, "low\u{1b}[1m");
        assert!(news.has_warning());
        assert_eq!(news.last(), "warning: low");
        assert_eq!(news.into_text(), "(9993 more), 9993, 9994, 9995, 9996, 9997, 9998, 9999, warning: low");
    }
}
