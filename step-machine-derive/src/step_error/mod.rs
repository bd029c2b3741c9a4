//! `#[derive(StepError)]`.

mod expand;
mod model;
mod read;

use proc_macro2::TokenStream;
use syn::DeriveInput;

use crate::diagnostics::Diagnostics;

/// The code for `input`: its faults, and its impl as far as it makes sense.
pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut faults = Diagnostics::default();
    let model = read::error(input, &mut faults);
    let mut code = faults.into_tokens();
    code.extend(expand::error(&model));
    code
}
