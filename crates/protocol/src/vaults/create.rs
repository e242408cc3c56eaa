use std::collections::BTreeMap;

use http::response::Parts;
use serde::{Deserialize, Serialize};

use super::{Vault, VaultEnvelope, check_description, check_metadata, check_name};
use crate::error::{InvalidRequest, ResponseError};
use crate::operation::decode_json;
use crate::setters::setters;
use crate::{Endpoint, Operation, Route};

/// Creates a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct CreateVault {
    /// The name: 1 to 200 characters.
    pub name: String,
    /// The description, at most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Your own pairs: at most 16, with keys of at most 64 and values of at most 512 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}

impl CreateVault {
    /// Creates the operation with this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: None,
            metadata: None,
        }
    }
}

setters! {
    CreateVault, create_vault_setters;

    /// Sets the description, at most 500 characters.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Adds a pair of metadata.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata
            .get_or_insert_default()
            .insert(key.into(), value.into());
        self
    }
}

impl Endpoint for CreateVault {
    const ROUTE: Route = Route::post("/v1/mcp/vaults");

    fn validate(&self) -> Result<(), InvalidRequest> {
        check_name(&self.name)?;
        check_description(self.description.as_deref())?;
        self.metadata.as_ref().map_or(Ok(()), check_metadata)
    }
}

impl Operation for CreateVault {
    type Output = Vault;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<Vault, ResponseError> {
        decode_json(self, head, body).map(|VaultEnvelope { vault }| vault)
    }
}
