//! Templates: Jinja, where a variable that is not there is an error.

use std::io;
use std::path::Path;

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use crate::site;

/// Why a template was not rendered.
#[derive(Debug, thiserror::Error)]
#[error("template {name}")]
pub struct TemplateError {
    /// The template, by its path below the templates' folder.
    pub name: String,
    /// What went wrong.
    #[source]
    pub source: Fault,
}

/// What went wrong with a template.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be read, or its result not written.
    #[error(transparent)]
    File(#[from] io::Error),
    /// It is broken, or does not fit the variables.
    #[error(transparent)]
    Template(#[from] minijinja::Error),
}

/// Renders the template `name` of the folder `templates` to the file `to`.
pub fn render_to(templates: &Path, name: &str, variables: &impl Serialize, to: &Path) -> Result<(), TemplateError> {
    let text = render(templates, name, variables)?;
    site::write(to, &text).map_err(|error| TemplateError { name: name.to_owned(), source: error.into() })
}

/// The text of the template `name` of the folder `templates`.
pub fn render(templates: &Path, name: &str, variables: &impl Serialize) -> Result<String, TemplateError> {
    let rendered = || -> Result<String, Fault> {
        let source = std::fs::read_to_string(templates.join(name))?;
        let mut jinja = Environment::new();
        jinja.set_undefined_behavior(UndefinedBehavior::Strict);
        Ok(jinja.render_named_str(name, &source, Serde(variables))?)
    };
    rendered().map_err(|source| TemplateError { name: name.to_owned(), source })
}
