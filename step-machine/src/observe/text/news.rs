//! What a step has told since its last line.

use std::collections::VecDeque;

use super::clean::one_line;

/// How many messages a line has room for.
const ROOM: usize = 8;

/// Messages that wait for the line that a step ends with. However many there are, only the last ones are kept.
#[derive(Debug, Default)]
pub(super) struct News {
    last: VecDeque<String>,
    others: usize,
}

impl News {
    pub(super) fn add(&mut self, message: &str) {
        let text = one_line(message);
        if self.last.back().is_some_and(|last| *last == text) {
            return;
        }
        if self.last.len() == ROOM {
            self.last.pop_front();
            self.others += 1;
        }
        self.last.push_back(text.into_owned());
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
        (0..10_000).for_each(|n| news.add(&n.to_string()));
        news.add("9999");
        news.add("low\u{1b}[1m");
        assert_eq!(news.last(), "low");
        assert_eq!(news.into_text(), "(9993 more), 9993, 9994, 9995, 9996, 9997, 9998, 9999, low");
    }
}
