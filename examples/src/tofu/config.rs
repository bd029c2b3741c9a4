//! The part of OpenTofu's JSON configuration that the stand-in knows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::TofuError;

/// `main.tf.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    #[serde(default)]
    terraform: Terraform,
    resource: Resources,
    #[serde(default)]
    output: BTreeMap<String, Output>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Terraform {
    required_version: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resources {
    terraform_data: BTreeMap<String, Resource>,
}

/// A `terraform_data`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resource {
    /// What becomes its output.
    pub(super) input: Map<String, Value>,
    #[serde(default)]
    provisioner: Vec<Provisioner>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Provisioner {
    local_exec: LocalExec,
}

/// A command that creates or destroys what a resource stands for.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LocalExec {
    #[serde(default)]
    when: When,
    pub(super) interpreter: Vec<String>,
    pub(super) command: String,
}

/// When a provisioner runs.
#[derive(Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum When {
    #[default]
    Create,
    Destroy,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Output {
    value: String,
}

impl Config {
    pub(super) fn resources(&self) -> impl Iterator<Item = (&String, &Resource)> {
        self.resource.terraform_data.iter()
    }

    pub(super) fn resource(&self, name: &str) -> Option<&Resource> {
        self.resource.terraform_data.get(name)
    }

    pub(super) fn check_outputs(&self) -> Result<(), TofuError> {
        self.outputs().map(|_| ())
    }

    /// The outputs with the values that they refer to.
    pub(super) fn outputs(&self) -> Result<BTreeMap<String, Value>, TofuError> {
        let outputs = self.output.iter().map(|(name, output)| match self.resolve(&output.value) {
            Some(value) => Ok((name.clone(), value.clone())),
            None => Err(TofuError::Reference { output: name.clone(), reference: output.value.clone() }),
        });
        outputs.collect()
    }

    /// `${terraform_data.NAME.output.FIELD}`
    fn resolve(&self, reference: &str) -> Option<&Value> {
        let path = reference.strip_prefix("${terraform_data.")?.strip_suffix('}')?;
        let (name, field) = path.split_once(".output.")?;
        self.resource(name)?.input.get(field)
    }
}

impl Resource {
    pub(super) fn provisioners(&self, when: When) -> impl Iterator<Item = &LocalExec> {
        self.provisioner.iter().map(|provisioner| &provisioner.local_exec).filter(move |command| command.when == when)
    }
}
