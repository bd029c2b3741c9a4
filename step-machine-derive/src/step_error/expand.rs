//! The model to code. Cannot fail.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Generics, parse_quote};

use super::model::{Case, Class, ErrorType};

pub(crate) fn error(error: &ErrorType) -> TokenStream {
    let (krate, ident) = (&error.krate, &error.ident);
    let generics = bounded(error);
    let (parameters, arguments, bounds) = generics.split_for_impl();
    let str_ref = quote!(&::core::primitive::str);
    let duration = quote!(::core::option::Option<::core::time::Duration>);
    let failure = quote!(::core::option::Option<&#krate::event::FailureRecord>);
    let methods = [
        method(error, "kind", &str_ref, kind),
        method(error, "is_fatal", &quote!(::core::primitive::bool), fatal),
        method(error, "retry_after", &duration, retry_after),
        method(error, "effect", &quote!(#krate::event::Effect), effect),
    ];
    // Nothing but an error inside can bring a failure along.
    let is_transparent = |case: &Case| matches!(case.class, Class::Transparent { .. });
    let nested = error.cases.iter().any(is_transparent).then(|| method(error, "nested", &failure, nested));
    quote! {
        #[automatically_derived]
        impl #parameters #krate::StepError for #ident #arguments #bounds {
            #(#methods)*
            #nested
        }
    }
}

/// The type's own bounds, and for a generic one what its impl rests on.
fn bounded(error: &ErrorType) -> Generics {
    let mut generics = error.generics.clone();
    if generics.type_params().next().is_none() {
        return generics;
    }
    let krate = &error.krate;
    let bounds = generics.make_where_clause();
    bounds.predicates.push(parse_quote!(
        Self: ::core::error::Error + ::core::marker::Send + ::core::marker::Sync + 'static
    ));
    for case in &error.cases {
        if let Class::Transparent { ty, .. } = &case.class {
            bounds.predicates.push(parse_quote!(#ty: #krate::StepError));
        }
    }
    generics
}

/// A method that matches on the cases; `answer` is the pattern of a case and its answer.
fn method(
    error: &ErrorType,
    name: &str,
    returns: &TokenStream,
    answer: fn(&ErrorType, &Case) -> (TokenStream, TokenStream),
) -> TokenStream {
    let name = quote::format_ident!("{name}");
    let arms = error.cases.iter().map(|case| {
        let (fields, answer) = answer(error, case);
        match &case.variant {
            Some(variant) => quote!(Self::#variant { #fields .. } => #answer,),
            None if fields.is_empty() => quote!(_ => #answer,),
            None => quote!(Self { #fields .. } => #answer,),
        }
    });
    // An enum without variants has no value to match on.
    let scrutinee = if error.cases.is_empty() { quote!(*self) } else { quote!(self) };
    quote! {
        fn #name(&self) -> #returns {
            match #scrutinee { #(#arms)* }
        }
    }
}

/// Asks the error inside, where the case is transparent.
fn inside(error: &ErrorType, case: &Case, method: &str) -> Option<(TokenStream, TokenStream)> {
    let Class::Transparent { field, ty } = &case.class else { return None };
    let krate = &error.krate;
    let method = quote::format_ident!("{method}");
    let call = quote!(<#ty as #krate::StepError>::#method(inside));
    Some((quote!(#field: inside,), call))
}

fn kind(error: &ErrorType, case: &Case) -> (TokenStream, TokenStream) {
    let own = match &case.class {
        Class::Own { kind, .. } => kind.as_str(),
        Class::Transparent { .. } => "",
    };
    inside(error, case, "kind").unwrap_or_else(|| (TokenStream::new(), quote!(#own)))
}

fn fatal(error: &ErrorType, case: &Case) -> (TokenStream, TokenStream) {
    let fatal = matches!(case.class, Class::Own { fatal: true, .. });
    inside(error, case, "is_fatal").unwrap_or_else(|| (TokenStream::new(), quote!(#fatal)))
}

fn retry_after(error: &ErrorType, case: &Case) -> (TokenStream, TokenStream) {
    let krate = &error.krate;
    inside(error, case, "retry_after").unwrap_or_else(|| match &case.class {
        Class::Own { retry_after: Some(field), .. } => {
            let call = quote_spanned!(field.span()=> #krate::private::RetryAfter::retry_after(wait));
            (quote!(#field: wait,), call)
        }
        _ => (TokenStream::new(), quote!(::core::option::Option::None)),
    })
}

fn effect(error: &ErrorType, case: &Case) -> (TokenStream, TokenStream) {
    let krate = &error.krate;
    let effect = match case.class {
        Class::Own { unknown_effect: true, .. } => quote!(Unknown),
        _ => quote!(Known),
    };
    inside(error, case, "effect").unwrap_or_else(|| (TokenStream::new(), quote!(#krate::event::Effect::#effect)))
}

fn nested(error: &ErrorType, case: &Case) -> (TokenStream, TokenStream) {
    inside(error, case, "nested").unwrap_or_else(|| (TokenStream::new(), quote!(::core::option::Option::None)))
}
