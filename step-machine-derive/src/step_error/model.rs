//! What an error type declares, resolved.

use syn::{Generics, Ident, Member, Path, Type};

/// An enum or struct that is a step error. Complete even where the type is broken.
pub(crate) struct ErrorType {
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    pub(crate) krate: Path,
    pub(crate) cases: Vec<Case>,
}

/// A variant, or the struct itself.
pub(crate) struct Case {
    /// `None` for a struct.
    pub(crate) variant: Option<Ident>,
    pub(crate) class: Class,
}

/// What is known of the errors of a case.
pub(crate) enum Class {
    /// What the error in this field says.
    Transparent { field: Member, ty: Box<Type> },
    /// What the attributes say.
    Own { kind: String, fatal: bool, retry_after: Option<Member>, unknown_effect: bool },
}
