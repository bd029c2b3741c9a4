//! Values of keys: each reader takes one item and says what it would have taken instead.

use std::str::FromStr;
use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use syn::parse::Parse;
use syn::spanned::Spanned;
use syn::{Lit, LitBool, LitStr};

use crate::attr::{Item, Key, Owner, Value};
use crate::diagnostics::Diagnostics;

/// A value and its place in the source.
#[derive(Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// Takes the items of one attribute apart, key by key.
pub(crate) struct Reader<'a> {
    items: Vec<Item>,
    keys: &'static [Key],
    owner: &'a Owner,
    faults: &'a mut Diagnostics,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(items: Vec<Item>, keys: &'static [Key], owner: &'a Owner, faults: &'a mut Diagnostics) -> Self {
        Self { items, keys, owner, faults }
    }

    pub(crate) fn faults(&mut self) -> &mut Diagnostics {
        self.faults
    }

    pub(crate) fn owner(&self) -> &'a Owner {
        self.owner
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.items.iter().any(|item| item.key == key)
    }

    /// Takes the item of a key.
    pub(crate) fn take(&mut self, key: &str) -> Option<Item> {
        let index = self.items.iter().position(|item| item.key == key)?;
        Some(self.items.swap_remove(index))
    }

    /// `key`: `None` where it is absent, the place where it is there.
    pub(crate) fn flag(&mut self, key: &str) -> Option<Span> {
        let item = self.take(key)?;
        if !matches!(item.value, Value::Flag) {
            self.wrong(&item, "takes no value");
        }
        Some(item.key.span())
    }

    /// `key`, `key = true` or `key = false`.
    pub(crate) fn boolean(&mut self, key: &str) -> Option<At<bool>> {
        let item = self.take(key)?;
        let span = item.tokens().span();
        if matches!(item.value, Value::Flag) {
            return Some(At { value: true, span });
        }
        let value = self.parse::<LitBool>(&item, "takes `true` or `false`")?;
        Some(At { value: value.value, span })
    }

    /// `key = "text"`.
    pub(crate) fn text(&mut self, key: &str) -> Option<At<String>> {
        let item = self.take(key)?;
        if let Value::Equals(tokens) = &item.value
            && syn::parse2::<LitStr>(tokens.clone()).is_err()
        {
            let quoted = format!("{key} = \"{}\"", tokens.to_string().replace('"', ""));
            self.wrong_with(&item, "takes a text in quotes", &quoted);
            return None;
        }
        let text = self.parse::<LitStr>(&item, "takes a text in quotes")?;
        Some(At { value: text.value(), span: text.span() })
    }

    /// `key = "2s"`.
    pub(crate) fn duration(&mut self, key: &str) -> Option<At<Duration>> {
        let item = self.take(key)?;
        let text = self.parse::<LitStr>(&item, "takes a duration in quotes")?;
        let fault = match humantime::parse_duration(&text.value()) {
            Ok(duration) if u64::try_from(duration.as_nanos()).is_ok() => {
                return Some(At { value: duration, span: text.span() });
            }
            Ok(_) => "it is longer than 584 years".to_owned(),
            Err(error) => duration_fault(&error),
        };
        self.faults.at(
            &text,
            format!(
                "{}: `{key} = \"{}\"` is not a duration: {fault}; write a number with a unit, as in \"500ms\", \"2s\", \"5m\" or \"1h 30m\"",
                self.owner.subject,
                text.value()
            ),
        );
        None
    }

    /// [`duration`](Self::duration), longer than zero.
    pub(crate) fn span_of_time(&mut self, key: &str) -> Option<At<Duration>> {
        let duration = self.duration(key)?;
        if duration.value.is_zero() {
            let message = format!(
                "{}: `{key}` has to be longer than zero; where there is to be no limit, remove it",
                self.owner.subject
            );
            self.faults.span(duration.span, message);
            return None;
        }
        Some(duration)
    }

    /// `key = 3`.
    pub(crate) fn count(&mut self, key: &str) -> Option<At<u32>> {
        self.number(key, &format!("takes a whole number from 1 to {}", u32::MAX))
    }

    /// `key = 1.5` or `key = 2`; `takes` says which ones.
    pub(crate) fn float(&mut self, key: &str, takes: &str) -> Option<At<f64>> {
        self.number(key, takes)
    }

    fn number<T: FromStr>(&mut self, key: &str, takes: &str) -> Option<At<T>> {
        let item = self.take(key)?;
        let number = match &item.value {
            Value::Equals(tokens) => syn::parse2::<Lit>(tokens.clone()).ok().and_then(|literal| number(&literal)),
            Value::Flag | Value::List(_) => None,
        };
        if number.is_none() {
            self.wrong(&item, takes);
        }
        number
    }

    /// `key = Name`.
    pub(crate) fn name(&mut self, key: &str) -> Option<Ident> {
        let item = self.take(key)?;
        self.parse::<Ident>(&item, "takes a name without quotes")
    }

    /// `key = Type`.
    pub(crate) fn ty(&mut self, key: &str) -> Option<syn::Type> {
        let item = self.take(key)?;
        self.parse::<syn::Type>(&item, "takes a type")
    }

    /// `key = path`.
    pub(crate) fn path(&mut self, key: &str) -> Option<syn::Path> {
        let item = self.take(key)?;
        self.parse::<syn::Path>(&item, "takes a path without quotes")
    }

    /// `key(..)`: the tokens inside and the place of the key.
    pub(crate) fn list(&mut self, key: &str) -> Option<At<TokenStream>> {
        let item = self.take(key)?;
        let span = item.key.span();
        match &item.value {
            Value::List(value) => Some(At { value: value.clone(), span }),
            Value::Equals(name) if syn::parse2::<Ident>(name.clone()).is_ok() => {
                self.wrong_with(&item, "takes values in parentheses", &format!("{key}({name})"));
                Some(At { value: name.clone(), span })
            }
            Value::Flag | Value::Equals(_) => {
                self.wrong(&item, "takes values in parentheses");
                None
            }
        }
    }

    /// The value as a `T`; what only has quotes or parentheses too many is a fault, but taken.
    fn parse<T: Parse>(&mut self, item: &Item, takes: &str) -> Option<T> {
        if let Value::Equals(tokens) = &item.value
            && let Ok(value) = syn::parse2(tokens.clone())
        {
            return Some(value);
        }
        let bare = bare(&item.value);
        let value = bare.clone().and_then(|bare| syn::parse2(bare).ok());
        match (&value, bare) {
            (Some(_), Some(bare)) => self.wrong_with(item, takes, &format!("{} = {bare}", item.key)),
            _ => self.wrong(item, takes),
        }
        value
    }

    /// A fault: what the key takes, what stands there and how it is written.
    pub(crate) fn wrong(&mut self, item: &Item, takes: &str) {
        let usage = self.keys.iter().find(|key| item.key == key.name).map_or("", |key| key.usage);
        self.wrong_with(item, takes, usage);
    }

    fn wrong_with(&mut self, item: &Item, takes: &str, usage: &str) {
        let found = match &item.value {
            Value::Flag => "no value".to_owned(),
            Value::Equals(tokens) => format!("`{}`", tokens.to_string().replace("- ", "-")),
            Value::List(tokens) => format!("`({tokens})`"),
        };
        let message = format!("{}: `{}` {takes}, found {found}; write `{usage}`", self.owner.subject, item.key);
        self.faults.at(item.tokens(), message);
    }
}

/// The value without the quotes or parentheses around it.
fn bare(value: &Value) -> Option<TokenStream> {
    match value {
        Value::Flag => None,
        Value::List(tokens) => Some(tokens.clone()),
        Value::Equals(tokens) => {
            let text = syn::parse2::<LitStr>(tokens.clone()).ok()?.value();
            // Nothing else is in a name or a type, and nothing that the compiler would have something to say about.
            let is_plain = text.chars().all(|c| c.is_alphanumeric() || "_:<>, ".contains(c));
            if is_plain { text.parse().ok() } else { None }
        }
    }
}

/// A number without a sign or suffix.
fn number<T: FromStr>(literal: &Lit) -> Option<At<T>> {
    let (digits, suffix) = match literal {
        Lit::Int(number) => (number.base10_digits(), number.suffix()),
        Lit::Float(number) => (number.base10_digits(), number.suffix()),
        _ => return None,
    };
    let value = if suffix.is_empty() { digits.parse().ok()? } else { return None };
    Some(At { value, span: literal.span() })
}

/// What is wrong with a duration, in our words: those of `humantime` may change.
fn duration_fault(error: &humantime::DurationError) -> String {
    use humantime::DurationError as Fault;
    match error {
        Fault::Empty => "it is empty".to_owned(),
        Fault::UnknownUnit { unit, .. } if unit.is_empty() => "it has no unit".to_owned(),
        Fault::UnknownUnit { unit, .. } => format!("`{unit}` is no unit"),
        Fault::NumberExpected(_) => "it has no number in front".to_owned(),
        Fault::InvalidCharacter(_) => "it has characters other than numbers and units".to_owned(),
        Fault::NumberOverflow => "its number is too large".to_owned(),
    }
}
