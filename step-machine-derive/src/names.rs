//! Names: ids, generated names, and the nearest one to a misspelt one.

use heck::{ToKebabCase, ToSnakeCase};
use proc_macro2::{Ident, Span};

/// The words of `ident` as an id: `OpenTofuInit` becomes `open-tofu-init`.
pub(crate) fn kebab(ident: &Ident) -> String {
    plain(ident).to_kebab_case()
}

/// The words of `ident` as the name of a function or module: `OpenTofuInit` becomes `open_tofu_init`.
pub(crate) fn snake(ident: &Ident) -> String {
    plain(ident).to_snake_case()
}

/// The words of `ident` as a person reads them: `OpenTofuInit` becomes `Open tofu init`.
pub(crate) fn sentence(ident: &Ident) -> String {
    let words = kebab(ident).replace('-', " ");
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => words,
    }
}

/// The text of `ident` without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map(str::to_owned).unwrap_or(text)
}

/// An identifier of `name`, raw where it is a keyword, and with `_` where it cannot be raw.
pub(crate) fn ident(name: &str, span: Span) -> Ident {
    let cannot_be_raw = matches!(name, "self" | "super" | "crate" | "Self" | "_");
    if cannot_be_raw {
        return Ident::new(&format!("{name}_"), span);
    }
    if name.is_empty() || name.starts_with(char::is_numeric) {
        return Ident::new(&format!("__{name}"), span);
    }
    if syn::parse_str::<Ident>(name).is_ok() { Ident::new(name, span) } else { Ident::new_raw(name, span) }
}

/// What `text` is as an id, where it can be one.
pub(crate) fn as_id(text: &str) -> Option<String> {
    let id = text.to_kebab_case();
    id_fault(&id).is_none().then_some(id)
}

/// What is wrong with `id` as an id, if anything is.
pub(crate) fn id_fault(id: &str) -> Option<&'static str> {
    let fits = |c: char| c.is_alphanumeric() && !c.is_uppercase();
    if id.is_empty() {
        Some("cannot be empty")
    } else if !id.split('-').all(|word| !word.is_empty() && word.chars().all(fits)) {
        Some("has to be lower-case words of letters and digits with one `-` between them")
    } else {
        None
    }
}

/// The candidate that `name` is most likely a misspelling of.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        // A third of the letters may be wrong; more is another word, and so is another letter.
        .filter(|(distance, candidate)| {
            let letters = candidate.chars().count();
            *distance <= letters.max(3) / 3 && *distance < letters
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean …?` where something is near, and nothing where nothing is.
pub(crate) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, candidates).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// `` `a`, `b` and `c` ``
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kebab_of(name: &str) -> String {
        kebab(&ident(name, Span::call_site()))
    }

    #[test]
    fn ids_are_the_words_of_the_variant() {
        assert_eq!(kebab_of("OpenTofuInit"), "open-tofu-init");
        assert_eq!(kebab_of("WaitSSH"), "wait-ssh");
        assert_eq!(kebab_of("S3Upload"), "s3-upload");
        assert_eq!(kebab_of("type"), "type");
    }

    #[test]
    fn keywords_become_raw_or_get_an_underscore() {
        assert_eq!(ident("type", Span::call_site()).to_string(), "r#type");
        assert_eq!(ident("crate", Span::call_site()).to_string(), "crate_");
        assert_eq!(ident("deploy", Span::call_site()).to_string(), "deploy");
        assert_eq!(ident("2nd", Span::call_site()).to_string(), "__2nd");
        assert_eq!(ident("", Span::call_site()).to_string(), "__");
    }

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["retry", "timeout", "weight"];
        assert_eq!(nearest("retyr", known), Some("retry"));
        assert_eq!(nearest("Timeout", known), Some("timeout"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("1", ["0"]), None);
    }

    #[test]
    fn an_id_is_kebab_case() {
        for id in ["a", "wait-ssh", "s3-upload", "2nd", "über-setzen"] {
            assert_eq!(id_fault(id), None, "{id}");
        }
        for id in ["", "-a", "a-", "a--b", "Wait", "a_b", "a b"] {
            assert!(id_fault(id).is_some(), "{id}");
        }
    }
}
