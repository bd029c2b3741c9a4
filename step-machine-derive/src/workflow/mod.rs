//! `#[derive(Workflow)]`.

mod check;
mod expand;
mod graph;
mod keys;
mod model;
mod read;

use proc_macro2::TokenStream;
use syn::DeriveInput;

use crate::diagnostics::Diagnostics;

/// The code for `input`: its faults, and its impls as far as it makes sense.
pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut faults = Diagnostics::default();
    let mut model = read::workflow(input, &mut faults);
    check::workflow(&mut model, &mut faults);
    let mut code = faults.into_tokens();
    code.extend(expand::workflow(model));
    code
}
