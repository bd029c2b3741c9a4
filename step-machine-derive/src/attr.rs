//! Attribute text to keys and values, each with its place in the source.
//!
//! Read token by token, so that a fault in one key does not hide the next one.

use std::iter::Peekable;

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree, token_stream::IntoIter};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Attribute, Meta};

use crate::diagnostics::Diagnostics;
use crate::names::{did_you_mean, list};

/// One key with what stands behind it.
pub(crate) struct Item {
    pub(crate) key: Ident,
    pub(crate) value: Value,
}

pub(crate) enum Value {
    /// `key`
    Flag,
    /// `key = value`
    Equals(TokenStream),
    /// `key(..)`
    List(TokenStream),
}

impl Item {
    /// The tokens of the item, for the place of a fault.
    pub(crate) fn tokens(&self) -> TokenStream {
        let mut tokens = self.key.to_token_stream();
        match &self.value {
            Value::Flag => {}
            Value::Equals(value) | Value::List(value) => tokens.extend(value.clone()),
        }
        tokens
    }
}

/// A key that an attribute knows, and how it is written.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) usage: &'static str,
}

/// What the keys of an attribute belong to, for messages.
pub(crate) struct Owner {
    /// `#[step(..)]`
    pub(crate) attribute: String,
    /// "step `WaitSsh`"
    pub(crate) subject: String,
}

/// The items of all attributes named `name`, without those that no fault-free attribute has.
pub(crate) fn items(
    attributes: &[Attribute],
    name: &str,
    keys: &'static [Key],
    owner: &Owner,
    faults: &mut Diagnostics,
) -> Vec<Item> {
    let mut items = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(name)) {
        match &attribute.meta {
            Meta::List(meta) if meta.tokens.is_empty() => faults.at(
                attribute,
                format!("{}: this attribute is empty; remove it, or give it a key: {}", owner.subject, known(keys)),
            ),
            Meta::List(meta) => items.extend(split(meta.tokens.clone(), owner, faults)),
            Meta::Path(_) | Meta::NameValue(_) => faults.at(
                attribute,
                format!("{}: expected keys in parentheses, as in `#[{name}({})]`", owner.subject, keys[0].usage),
            ),
        }
    }
    accept(items, keys, owner, faults)
}

/// The items of `key(..)`.
pub(crate) fn nested(tokens: TokenStream, keys: &'static [Key], owner: &Owner, faults: &mut Diagnostics) -> Vec<Item> {
    let items = split(tokens, owner, faults);
    accept(items, keys, owner, faults)
}

/// Keeps known keys, each once.
fn accept(items: Vec<Item>, keys: &'static [Key], owner: &Owner, faults: &mut Diagnostics) -> Vec<Item> {
    let mut accepted: Vec<Item> = Vec::new();
    for item in items {
        let name = item.key.to_string();
        if !keys.iter().any(|key| key.name == name) {
            let near = did_you_mean(&name, keys.iter().map(|key| key.name));
            faults.at(
                &item.key,
                format!(
                    "{}: unknown key `{name}` in `{}`{near}\nknown keys are {}",
                    owner.subject,
                    owner.attribute,
                    known(keys)
                ),
            );
        } else if accepted.iter().any(|earlier| earlier.key == item.key) {
            faults.at(
                &item.key,
                format!("{}: `{name}` is given twice in `{}`; keep one of them", owner.subject, owner.attribute),
            );
        } else {
            accepted.push(item);
        }
    }
    accepted
}

fn known(keys: &[Key]) -> String {
    list(keys.iter().map(|key| key.name))
}

/// Cuts `key, key = value, key(..)` at its commas.
fn split(tokens: TokenStream, owner: &Owner, faults: &mut Diagnostics) -> Vec<Item> {
    let mut tokens = tokens.into_iter().peekable();
    let mut items = Vec::new();
    while let Some(first) = tokens.next() {
        let TokenTree::Ident(key) = first else {
            faults.at(&first, format!("{}: expected a key, found `{first}`", owner.subject));
            until_comma(&mut tokens);
            continue;
        };
        if let Some(value) = value(&key, &mut tokens, owner, faults) {
            items.push(Item { key, value });
        }
    }
    items
}

fn value(key: &Ident, tokens: &mut Peekable<IntoIter>, owner: &Owner, faults: &mut Diagnostics) -> Option<Value> {
    match tokens.next() {
        None => Some(Value::Flag),
        Some(TokenTree::Punct(punct)) if punct.as_char() == ',' => Some(Value::Flag),
        Some(TokenTree::Punct(equals)) if equals.as_char() == '=' => {
            let value = until_comma(tokens);
            if value.is_empty() {
                faults.at(&equals, format!("{}: `{key} =` has no value", owner.subject));
                return None;
            }
            Some(Value::Equals(value))
        }
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
            let rest = until_comma(tokens);
            if !rest.is_empty() {
                faults.at(&rest, format!("{}: expected `,` after `{key}(..)`, found `{rest}`", owner.subject));
            }
            Some(Value::List(group.stream()))
        }
        Some(other) => {
            faults.at(&other, format!("{}: expected `,`, `=` or `(..)` after `{key}`, found `{other}`", owner.subject));
            until_comma(tokens);
            None
        }
    }
}

/// The tokens up to the next comma that is not inside `<..>`; the comma is taken too.
fn until_comma(tokens: &mut Peekable<IntoIter>) -> TokenStream {
    let mut depth = 0_i32;
    let mut taken = TokenStream::new();
    let mut last = ' ';
    for token in tokens.by_ref() {
        if let TokenTree::Punct(punct) = &token {
            match punct.as_char() {
                ',' if depth <= 0 => break,
                '<' => depth += 1,
                // Not the arrow of a function type.
                '>' if last != '-' => depth -= 1,
                _ => {}
            }
            last = punct.as_char();
        } else {
            last = ' ';
        }
        taken.extend([token]);
    }
    taken
}

/// Faults for attributes named `name` that stand where they do not belong.
pub(crate) fn misplaced(attributes: &[Attribute], name: &str, hint: &str, faults: &mut Diagnostics) {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(name)) {
        faults.at(attribute, hint);
    }
}

/// The lines of the doc comment, without the space that usually stands before each.
pub(crate) fn doc_lines(attributes: &[Attribute]) -> Vec<String> {
    let mut lines = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        let Meta::NameValue(meta) = &attribute.meta else { continue };
        if let Ok(text) = syn::parse2::<syn::LitStr>(meta.value.to_token_stream()) {
            lines.extend(text.value().lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned()));
        }
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// The place of all of `tokens`, or `otherwise` where there are none.
pub(crate) fn place(tokens: &TokenStream, otherwise: Span) -> Span {
    if tokens.is_empty() { otherwise } else { tokens.span() }
}
