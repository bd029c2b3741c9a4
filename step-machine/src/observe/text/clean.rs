//! Text from outside, made fit for a line of a terminal or a log.

use std::borrow::Cow;

/// One line that cannot steer a terminal: escape codes are left out, and what is left of control characters are blanks.
///
/// # Examples
///
/// ```
/// use step_machine::observe::one_line;
///
/// assert_eq!(one_line("\u{1b}[31mred\u{1b}[0m\tand\nmore\u{7}"), "red and more ");
/// ```
pub fn one_line(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte);
    if text.bytes().all(is_plain) || !text.chars().any(is_unfit) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => pass_escape(&mut rest),
            '\u{9b}' => pass_parameters(&mut rest),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => pass_string(&mut rest),
            c if turns_around(c) => {}
            c if is_unfit(c) => clean.push(' '),
            c => clean.push(c),
        }
    }
    Cow::Owned(clean)
}

fn is_unfit(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || turns_around(c)
}

/// What makes the text after it run the other way, which can show a line as what it is not.
fn turns_around(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Passes over what belongs to an escape character.
fn pass_escape(rest: &mut std::str::Chars<'_>) {
    let mut ahead = rest.clone();
    match ahead.next() {
        Some('[') => {
            *rest = ahead;
            pass_parameters(rest);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            *rest = ahead;
            pass_string(rest);
        }
        // Intermediates, and the one that ends them.
        Some(' '..='/') => {
            let end = ahead.find(|c| !(' '..='/').contains(c));
            if end.is_some_and(|c| ('0'..='~').contains(&c)) {
                *rest = ahead;
            }
        }
        Some('0'..='~') => *rest = ahead,
        _ => {}
    }
}

/// Up to the character that ends a control sequence; one that is not whole ends where it breaks off.
fn pass_parameters(rest: &mut std::str::Chars<'_>) {
    let mut ahead = rest.clone();
    while let Some(c) = ahead.next() {
        match c {
            ' '..='?' => *rest = ahead.clone(),
            '@'..='~' => {
                *rest = ahead;
                return;
            }
            _ => return,
        }
    }
}

/// Up to the end of a text that a terminal would keep to itself: a bell, or ESC and a backslash. One that is not whole
/// is taken for text, so that nothing is lost.
fn pass_string(rest: &mut std::str::Chars<'_>) {
    let mut ahead = rest.clone();
    while let Some(c) = ahead.next() {
        let ends = match c {
            '\u{7}' | '\u{9c}' => true,
            '\u{1b}' if ahead.clone().next() == Some('\\') => ahead.next().is_some(),
            _ => false,
        };
        if ends {
            *rest = ahead;
            return;
        }
    }
}

/// How many columns a text takes that has no control characters: wide characters take two, combining ones none.
pub(in crate::observe) fn columns(text: &str) -> usize {
    text.chars().map(char_columns).sum()
}

fn char_columns(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xa960..=0xa97c
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff01..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_escape_code_gets_through_and_no_text_is_lost() {
        let cases = [
            ("plain ä 世界", "plain ä 世界"),
            ("a\u{1b}[1;31mb\u{1b}[0mc", "abc"),
            ("a\u{9b}31mb", "ab"),
            ("\u{1b}]0;title\u{7}b", "b"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}(Bb\u{1b}7c\u{1b}=d", "bcd"),
            ("a\u{1b}", "a"),
            ("a\u{1b}[31", "a"),
            ("a\u{1b}[31\u{1b}[0mb", "ab"),
            ("a\u{1b}]never ends", "anever ends"),
            ("a\u{1b}äb", "aäb"),
            ("a\tb\r\nc\u{0}\u{7f}\u{85}d", "a b  c   d"),
            ("a\u{202e}b\u{2066}c\u{2028}d", "abc d"),
        ];
        for (text, clean) in cases {
            assert_eq!(one_line(text), clean, "{text:?}");
        }
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!((columns("ab"), columns("世界"), columns("e\u{301}"), columns("🚀✓")), (2, 4, 1, 3));
    }
}
