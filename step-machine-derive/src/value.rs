//! Values of keys: each reader takes one item and says what it would have taken instead.

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
            Ok(_) => "longer than 584 years".to_owned(),
            Err(error) => error.to_string(),
        };
        self.faults.at(
            &text,
            format!(
                "{}: `{key} = \"{}\"` is not a duration ({fault}); write a number with a unit, as in \"500ms\", \"2s\", \"5m\" or \"1h 30m\"",
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
            let message =
                format!("{}: `{key}` has to be longer than zero; without it there is no limit", self.owner.subject);
            self.faults.span(duration.span, message);
            return None;
        }
        Some(duration)
    }

    /// `key = 3`.
    pub(crate) fn count(&mut self, key: &str) -> Option<At<u32>> {
        let item = self.take(key)?;
        let value = self.number(&item)?;
        match value.value.base10_parse::<u32>() {
            Ok(count) => Some(At { value: count, span: value.span }),
            Err(_) => {
                self.wrong(&item, "takes a whole number");
                None
            }
        }
    }

    /// `key = 1.5` or `key = 2`.
    pub(crate) fn float(&mut self, key: &str) -> Option<At<f64>> {
        let item = self.take(key)?;
        let value = self.number(&item)?;
        match value.value.base10_parse::<f64>() {
            Ok(number) => Some(At { value: number, span: value.span }),
            Err(_) => {
                self.wrong(&item, "takes a number");
                None
            }
        }
    }

    fn number(&mut self, item: &Item) -> Option<At<Number>> {
        let tokens = match &item.value {
            Value::Equals(tokens) => tokens.clone(),
            _ => TokenStream::new(),
        };
        let span = tokens.span();
        match syn::parse2::<Number>(tokens) {
            Ok(value) => Some(At { value, span }),
            Err(_) => {
                self.wrong(item, "takes a number");
                None
            }
        }
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
        match item.value {
            Value::List(value) => Some(At { value, span }),
            _ => {
                self.wrong(&item, "takes values in parentheses");
                None
            }
        }
    }

    fn parse<T: Parse>(&mut self, item: &Item, takes: &str) -> Option<T> {
        if let Value::Equals(tokens) = &item.value
            && let Ok(value) = syn::parse2(tokens.clone())
        {
            return Some(value);
        }
        self.wrong(item, takes);
        None
    }

    /// A fault: what the key takes, what stands there and how it is written.
    pub(crate) fn wrong(&mut self, item: &Item, takes: &str) {
        let found = match &item.value {
            Value::Flag => "no value".to_owned(),
            Value::Equals(tokens) => format!("`= {tokens}`"),
            Value::List(tokens) => format!("`({tokens})`"),
        };
        let usage = self.keys.iter().find(|key| item.key == key.name).map_or("", |key| key.usage);
        let message = format!("{}: `{}` {takes}, found {found}; write `{usage}`", self.owner.subject, item.key);
        self.faults.at(item.tokens(), message);
    }
}

/// A number with or without a sign.
struct Number {
    text: String,
}

impl Number {
    fn base10_parse<T: std::str::FromStr>(&self) -> Result<T, T::Err> {
        self.text.parse()
    }
}

impl Parse for Number {
    fn parse(input: syn::parse::ParseStream<'_>) -> syn::Result<Self> {
        let minus: Option<syn::Token![-]> = input.parse()?;
        let digits = match input.parse::<Lit>()? {
            Lit::Int(number) if number.suffix().is_empty() => number.base10_digits().to_owned(),
            Lit::Float(number) if number.suffix().is_empty() => number.base10_digits().to_owned(),
            other => return Err(syn::Error::new(other.span(), "not a number")),
        };
        let sign = if minus.is_some() { "-" } else { "" };
        Ok(Self { text: format!("{sign}{digits}") })
    }
}
