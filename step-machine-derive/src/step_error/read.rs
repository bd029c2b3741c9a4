//! The error type and its attributes to a model.

use proc_macro2::{Span, TokenStream};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Fields, Ident, Index, Member};

use super::model::{Case, Class, ErrorType};
use crate::attr::{self, Elsewhere, Item, Key, Owner, Value};
use crate::diagnostics::Diagnostics;
use crate::names;
use crate::value::Reader;

const TYPE: &[Key] = &[Key { name: "crate", usage: "crate = my_step_machine" }];

const CASE: &[Key] = &[
    Key { name: "kind", usage: "kind = \"timeout\"" },
    Key { name: "fatal", usage: "fatal" },
    Key { name: "retry_after", usage: "retry_after = wait" },
    Key { name: "unknown_effect", usage: "unknown_effect" },
    Key { name: "transparent", usage: "transparent" },
];

/// Where a key may belong that is put on an enum.
const IN_TYPE: &[Elsewhere] = &[Elsewhere { keys: CASE, place: "on a variant" }];
/// Where a key may belong that is put on a variant.
const IN_CASE: &[Elsewhere] = &[Elsewhere { keys: TYPE, place: "on the enum" }];

/// A struct is a type and a case in one.
const STRUCT: &[Key] = &[
    Key { name: "kind", usage: "kind = \"timeout\"" },
    Key { name: "fatal", usage: "fatal" },
    Key { name: "retry_after", usage: "retry_after = wait" },
    Key { name: "unknown_effect", usage: "unknown_effect" },
    Key { name: "transparent", usage: "transparent" },
    Key { name: "crate", usage: "crate = my_step_machine" },
];

pub(crate) fn error(input: &DeriveInput, faults: &mut Diagnostics) -> ErrorType {
    let ident = &input.ident;
    let owner = owner(format!("`{ident}`"), IN_TYPE);
    let (krate, cases) = match &input.data {
        Data::Enum(data) => {
            let items = attr::items(&input.attrs, "step_error", TYPE, &owner, faults);
            let krate = Reader::new(items, TYPE, &owner, faults).path("crate");
            let cases = data.variants.iter().map(|variant| {
                let owner = self::owner(format!("`{ident}::{}`", variant.ident), IN_CASE);
                let kind = names::kebab(&variant.ident);
                let items = attr::items(&variant.attrs, "step_error", CASE, &owner, faults);
                fields_are_bare(&variant.fields, &owner, faults);
                let mut reader = Reader::new(items, CASE, &owner, faults);
                let class = class(&mut reader, kind, &variant.fields, variant.ident.span());
                Case { variant: Some(variant.ident.clone()), class }
            });
            (krate, cases.collect())
        }
        Data::Struct(data) => {
            let items = attr::items(&input.attrs, "step_error", STRUCT, &owner, faults);
            fields_are_bare(&data.fields, &owner, faults);
            let mut reader = Reader::new(items, STRUCT, &owner, faults);
            let krate = reader.path("crate");
            let class = class(&mut reader, struct_kind(ident), &data.fields, ident.span());
            (krate, vec![Case { variant: None, class }])
        }
        Data::Union(_) => {
            faults.at(ident, format!("`{ident}` is a union; a step error is an enum or a struct"));
            let class = Class::Own { kind: struct_kind(ident), fatal: false, retry_after: None, unknown_effect: false };
            (None, vec![Case { variant: None, class }])
        }
    };
    ErrorType {
        ident: ident.clone(),
        generics: input.generics.clone(),
        krate: krate.unwrap_or_else(|| syn::parse_quote!(::step_machine)),
        cases,
    }
}

fn owner(subject: String, elsewhere: &'static [Elsewhere]) -> Owner {
    Owner { attribute: "#[step_error(..)]".to_owned(), subject, elsewhere }
}

/// `ConnectError` is of the kind `connect`.
fn struct_kind(ident: &Ident) -> String {
    let kind = names::kebab(ident);
    kind.strip_suffix("-error").map(str::to_owned).unwrap_or(kind)
}

fn fields_are_bare(fields: &Fields, owner: &Owner, faults: &mut Diagnostics) {
    let hint = "`#[step_error(..)]` belongs on the variant or the struct, where it names a field: `#[step_error(retry_after = wait)]`";
    for field in fields {
        attr::misplaced(&field.attrs, "step_error", owner, hint, faults);
    }
}

fn class(reader: &mut Reader<'_>, default_kind: String, fields: &Fields, place: Span) -> Class {
    let kind = kind(reader);
    let fatal = reader.flag("fatal");
    let retry_place = reader.take("retry_after");
    let unknown_effect = reader.flag("unknown_effect");
    let retry_after = retry_place.as_ref().and_then(|item| field(reader, item, fields));
    let transparent = reader.flag("transparent");
    let subject = &reader.owner().subject;
    if let (Some(_), Some(item)) = (fatal, &retry_place) {
        let message = format!(
            "{subject}: a `fatal` error is never tried again, so `retry_after` has no meaning; remove one of them"
        );
        reader.faults().at(&item.key, message);
    }
    if let Some(span) = transparent {
        let others = kind.is_some() || fatal.is_some() || retry_place.is_some() || unknown_effect.is_some();
        if others {
            let message = format!(
                "{subject}: `transparent` takes everything from the error inside; remove the other keys, or `transparent`"
            );
            reader.faults().span(span, message);
        }
        if let Some(class) = transparent_class(reader, fields, if others { place } else { span }) {
            return class;
        }
    }
    Class::Own {
        kind: kind.unwrap_or(default_kind),
        fatal: fatal.is_some(),
        retry_after,
        unknown_effect: unknown_effect.is_some(),
    }
}

fn kind(reader: &mut Reader<'_>) -> Option<String> {
    let kind = reader.text("kind")?;
    if kind.value.trim().is_empty() || kind.value.contains('\n') {
        let message = format!("{}: `kind` is one or a few words, as in `kind = \"timeout\"`", reader.owner().subject);
        reader.faults().span(kind.span, message);
    }
    Some(kind.value)
}

/// The error inside: the only field.
fn transparent_class(reader: &mut Reader<'_>, fields: &Fields, span: Span) -> Option<Class> {
    let mut members = fields.members();
    let mut types = fields.iter().map(|field| &field.ty);
    match (members.next(), types.next(), members.next()) {
        (Some(field), Some(ty), None) => Some(Class::Transparent { field, ty: Box::new(ty.clone()) }),
        _ => {
            let message = format!(
                "{}: `transparent` needs exactly one field, the error inside, found {}",
                reader.owner().subject,
                fields.len()
            );
            reader.faults().span(span, message);
            None
        }
    }
}

/// The field that `key = field` or `key = 0` names.
fn field(reader: &mut Reader<'_>, item: &Item, fields: &Fields) -> Option<Member> {
    let tokens = match &item.value {
        Value::Equals(tokens) => tokens.clone(),
        Value::Flag | Value::List(_) => TokenStream::new(),
    };
    let span = tokens.span();
    let Ok(member) = syn::parse2::<Member>(tokens) else {
        reader.wrong(item, "takes the name or number of a field");
        return None;
    };
    if fields.members().any(|known| known == member) {
        return Some(member);
    }
    let known: Vec<String> = fields.members().map(|member| text(&member)).collect();
    let name = text(&member);
    let fields_are = match known.as_slice() {
        [] => "it has none".to_owned(),
        [only] => format!("the only one is `{only}`"),
        _ => format!("its fields are {}", names::list(known.iter().map(String::as_str))),
    };
    let near = names::did_you_mean(&name, known.iter().map(String::as_str));
    let message = format!("{}: `retry_after = {name}` names no field{near}\n{fields_are}", reader.owner().subject);
    reader.faults().span(span, message);
    None
}

fn text(member: &Member) -> String {
    match member {
        Member::Named(ident) => ident.to_string(),
        Member::Unnamed(Index { index, .. }) => index.to_string(),
    }
}
