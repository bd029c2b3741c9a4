//! Cuts `key, key = value, key(..)` at its commas.
//!
//! Token by token, so that a fault in one item does not hide the next one; where a comma is missing, it is read as if it
//! were there.

use std::iter::Peekable;

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree, token_stream::IntoIter};

use crate::attr::{Item, Key, Owner, Value, known};
use crate::diagnostics::Diagnostics;

pub(crate) fn split(tokens: TokenStream, keys: &[Key], owner: &Owner, faults: &mut Diagnostics) -> Vec<Item> {
    let mut splitter = Splitter { tokens: tokens.into_iter().peekable(), keys, owner, faults };
    let mut items = Vec::new();
    while let Some(first) = splitter.tokens.next() {
        items.extend(splitter.item(first));
    }
    items
}

struct Splitter<'a> {
    tokens: Peekable<IntoIter>,
    keys: &'a [Key],
    owner: &'a Owner,
    faults: &'a mut Diagnostics,
}

impl Splitter<'_> {
    /// The item that begins with `first`, and its comma.
    fn item(&mut self, first: TokenTree) -> Option<Item> {
        match first {
            TokenTree::Ident(key) => Some(Item { value: self.value(&key)?, key }),
            TokenTree::Punct(comma) if comma.as_char() == ',' => {
                self.faults.at(&comma, format!("{}: there is a comma too many; remove it", self.owner.subject));
                None
            }
            other => {
                let known = known(self.keys);
                self.faults.at(&other, format!("{}: expected a key, found `{other}`\n{known}", self.owner.subject));
                self.past_comma();
                None
            }
        }
    }

    /// What stands behind `key`.
    fn value(&mut self, key: &Ident) -> Option<Value> {
        let Some(next) = self.tokens.peek() else { return Some(Value::Flag) };
        match next {
            TokenTree::Punct(equals) if equals.as_char() == '=' => {
                let equals = equals.clone();
                self.tokens.next();
                let value = self.until_comma();
                if value.is_empty() {
                    let subject = &self.owner.subject;
                    self.faults.at(&equals, format!("{subject}: `{key} =` has no value{}", self.usage(key)));
                    return None;
                }
                Some(Value::Equals(value))
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => {
                let list = group.stream();
                self.tokens.next();
                self.comma(&format!("{key}(..)"), "`,`");
                Some(Value::List(list))
            }
            _ => self.comma(&key.to_string(), "`,`, `=` or `(..)`").then_some(Value::Flag),
        }
    }

    /// Takes the comma after `what`; `false` where something else stands there that is no key.
    fn comma(&mut self, what: &str, expected: &str) -> bool {
        match self.tokens.peek() {
            None => true,
            Some(TokenTree::Punct(comma)) if comma.as_char() == ',' => {
                self.tokens.next();
                true
            }
            Some(TokenTree::Ident(next)) => {
                let next = next.clone();
                self.missing_comma(&next);
                true
            }
            Some(other) => {
                let message = format!("{}: expected {expected} after `{what}`, found `{other}`", self.owner.subject);
                self.faults.at(other, message);
                self.past_comma();
                false
            }
        }
    }

    fn missing_comma(&mut self, next: &Ident) {
        self.faults.at(next, format!("{}: a comma is missing before `{next}`", self.owner.subject));
    }

    /// Leaves out what cannot be read, and its comma.
    fn past_comma(&mut self) {
        let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
        while self.tokens.next().is_some_and(|token| !is_comma(&token)) {}
    }

    /// The tokens up to the next comma that is not inside `<..>`; the comma is taken too.
    fn until_comma(&mut self) -> TokenStream {
        let mut depth = 0_i32;
        let mut value = TokenStream::new();
        let mut last = ' ';
        loop {
            if depth <= 0
                && !value.is_empty()
                && let Some(next) = self.next_key()
            {
                self.missing_comma(&next);
                break;
            }
            let Some(token) = self.tokens.next() else { break };
            let character = if let TokenTree::Punct(punct) = &token { punct.as_char() } else { ' ' };
            match character {
                ',' if depth <= 0 => break,
                '<' => depth += 1,
                // Not the arrow of a function type.
                '>' if last != '-' => depth -= 1,
                _ => {}
            }
            last = character;
            value.extend([token]);
        }
        value
    }

    /// The key that comes next, where `key =` does: then the comma before it is missing.
    fn next_key(&mut self) -> Option<Ident> {
        if !matches!(self.tokens.peek(), Some(TokenTree::Ident(_))) {
            return None;
        }
        let mut ahead = self.tokens.clone();
        match (ahead.next(), ahead.next()) {
            (Some(TokenTree::Ident(key)), Some(TokenTree::Punct(equals))) if equals.as_char() == '=' => Some(key),
            _ => None,
        }
    }

    /// How a known key is written.
    fn usage(&self, key: &Ident) -> String {
        let known = self.keys.iter().find(|known| key == known.name);
        known.map(|known| format!("; write `{}`", known.usage)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that are read, and how many faults are found.
    fn read(text: &str) -> (Vec<String>, usize) {
        let owner = Owner { attribute: "#[step(..)]".into(), subject: "step `Fetch`".into(), elsewhere: &[] };
        let mut faults = Diagnostics::default();
        let tokens = text.parse().unwrap_or_default();
        let items = split(tokens, &[], &owner, &mut faults);
        (items.iter().map(|item| item.key.to_string()).collect(), faults.len())
    }

    #[test]
    fn commas_inside_of_a_type_are_part_of_it() {
        let text = "output = Result<Vec<(u8, u16)>, fn(u8) -> Map<u8, u8>>, undo, retry(attempts = 3, delay = \"1s\"),";
        assert_eq!(read(text), (vec!["output".into(), "undo".into(), "retry".into()], 0));
    }

    #[test]
    fn a_fault_hides_no_other_item() {
        assert_eq!(
            read("undo weight = 3 timeout = 4, 5, skippable"),
            (vec!["undo".into(), "weight".into(), "timeout".into(), "skippable".into()], 3)
        );
        assert_eq!(read(",, a = , b + c, d"), (vec!["d".into()], 4));
    }
}
