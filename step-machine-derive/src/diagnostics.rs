//! Faults of the user's source, collected so that one build shows them all.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// The faults found so far.
#[derive(Default)]
pub(crate) struct Diagnostics {
    faults: Vec<syn::Error>,
}

impl Diagnostics {
    /// A fault at `tokens`.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl Display) {
        self.faults.push(syn::Error::new_spanned(tokens, message));
    }

    /// A fault at `span`.
    pub(crate) fn span(&mut self, span: Span, message: impl Display) {
        self.faults.push(syn::Error::new(span, message));
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.faults.len()
    }

    /// The faults as `compile_error!` calls, one each.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.faults.iter().map(syn::Error::to_compile_error).collect()
    }
}
