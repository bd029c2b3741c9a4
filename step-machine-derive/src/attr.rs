//! Attribute text to keys and values, each with its place in the source.

use proc_macro2::{Ident, Span, TokenStream};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Attribute, Meta};

use crate::diagnostics::Diagnostics;
use crate::names::{list, nearest};
use crate::split::split;

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
    /// The keys of other attributes, for one that was put here.
    pub(crate) elsewhere: &'static [Elsewhere],
}

/// The keys that belong in another place.
pub(crate) struct Elsewhere {
    pub(crate) keys: &'static [Key],
    /// "in `#[step(..)]`"
    pub(crate) place: &'static str,
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
                format!("{}: this attribute is empty; remove it, or give it a key\n{}", owner.subject, known(keys)),
            ),
            Meta::List(meta) => items.extend(split(meta.tokens.clone(), keys, owner, faults)),
            Meta::Path(_) | Meta::NameValue(_) => faults.at(
                attribute,
                format!(
                    "{}: expected keys in parentheses, as in `#[{name}({})]`, or no attribute\n{}",
                    owner.subject,
                    keys[0].usage,
                    known(keys)
                ),
            ),
        }
    }
    accept(items, keys, owner, faults)
}

/// The items of `key(..)`.
pub(crate) fn nested(tokens: TokenStream, keys: &'static [Key], owner: &Owner, faults: &mut Diagnostics) -> Vec<Item> {
    let items = split(tokens, keys, owner, faults);
    accept(items, keys, owner, faults)
}

/// Keeps known keys, each once.
fn accept(items: Vec<Item>, keys: &'static [Key], owner: &Owner, faults: &mut Diagnostics) -> Vec<Item> {
    let mut accepted: Vec<Item> = Vec::new();
    for mut item in items {
        let name = item.key.to_string();
        if !keys.iter().any(|key| key.name == name) {
            let Some(near) = unknown(&item.key, keys, owner, faults) else { continue };
            // What was meant is likely enough to go on with: then code that relies on it shows no faults.
            item.key = Ident::new(near, item.key.span());
        }
        if accepted.iter().any(|earlier| earlier.key == item.key) {
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

/// The fault of a key that is not known here, and the one that was meant, where one is near.
fn unknown(key: &Ident, keys: &'static [Key], owner: &Owner, faults: &mut Diagnostics) -> Option<&'static str> {
    let name = key.to_string();
    let message = format!("{}: unknown key `{name}` in `{}`", owner.subject, owner.attribute);
    if let Some(other) = owner.elsewhere.iter().find(|other| other.keys.iter().any(|known| known.name == name)) {
        faults.at(key, format!("{message}; it belongs {}", other.place));
        return None;
    }
    let near = nearest(&name, keys.iter().map(|known| known.name));
    let did_you_mean = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    faults.at(key, format!("{message}{did_you_mean}\n{}", known(keys)));
    near
}

/// What there is to choose from.
pub(crate) fn known(keys: &[Key]) -> String {
    match keys {
        [only] => format!("the only key is `{}`", only.name),
        _ => format!("known keys are {}", list(keys.iter().map(|key| key.name))),
    }
}

/// Faults for attributes named `name` that stand where they do not belong.
pub(crate) fn misplaced(attributes: &[Attribute], name: &str, owner: &Owner, hint: &str, faults: &mut Diagnostics) {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(name)) {
        faults.at(attribute, format!("{}: {hint}", owner.subject));
    }
}

/// The lines of the doc comment, without the space that usually stands before each.
pub(crate) fn doc_lines(attributes: &[Attribute]) -> Vec<String> {
    let mut lines = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        let Meta::NameValue(meta) = &attribute.meta else { continue };
        if let Ok(text) = syn::parse2::<syn::LitStr>(meta.value.to_token_stream()) {
            // Not `lines`, which has none of an empty text: an empty comment line is the end of a paragraph.
            let text = text.value();
            let text = text.split('\n').map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned());
            lines.extend(text);
        }
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    let first = lines.iter().position(|line| !line.is_empty()).unwrap_or_default();
    lines.split_off(first)
}

/// The place of all of `tokens`, or `otherwise` where there are none.
pub(crate) fn place(tokens: &TokenStream, otherwise: Span) -> Span {
    if tokens.is_empty() { otherwise } else { tokens.span() }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn a_doc_comment_keeps_its_paragraphs() {
        let input: syn::DeriveInput = parse_quote! {
            #[doc = ""]
            #[doc = " One line."]
            #[doc = ""]
            #[doc = " - two\n   three "]
            #[doc = ""]
            enum Deploy {}
        };
        assert_eq!(doc_lines(&input.attrs), ["One line.", "", "- two", "  three"]);
    }
}
