use http::response::Parts;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Vault;
use crate::error::{InvalidResponse, ResponseError};
use crate::operation::decode_with;
use crate::{Endpoint, Operation, Route, VaultId, tolerant};

/// Reads a vault with its credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[must_use = "an operation sends nothing until it is executed"]
pub struct GetVault {
    /// The vault.
    pub vault_id: VaultId,
}

impl GetVault {
    /// This vault.
    pub fn new(vault_id: impl Into<VaultId>) -> Self {
        Self {
            vault_id: vault_id.into(),
        }
    }
}

impl Endpoint for GetVault {
    const ROUTE: Route = Route::get("/v1/mcp/vaults/{vaultId}");
}

impl Operation for GetVault {
    type Output = VaultDetail;

    fn decode(&self, head: &Parts, body: &[u8]) -> Result<VaultDetail, ResponseError> {
        decode_with(self, head, body, |body| {
            let mut extra: Map<String, Value> = tolerant::from_slice(body)
                .map_err(|error| InvalidResponse::new(head, error, body))?;
            // The relay wraps the vault; its reference shows it bare.
            let (vault, extra) = match extra.remove("vault") {
                Some(vault) => (vault, extra),
                None => (Value::Object(extra.clone()), extra),
            };
            let vault = serde_json::from_value(vault)
                .map_err(|error| InvalidResponse::new(head, error, body))?;
            Ok(VaultDetail { vault, extra })
        })
    }
}

/// A vault, and what the relay tells beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VaultDetail {
    /// The vault.
    pub vault: Vault,
    /// The other members of the answer: `agents`, `coverage`, `suggestions`, …
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl VaultDetail {
    /// A vault with what is told beside it.
    pub fn new(vault: Vault, extra: Map<String, Value>) -> Self {
        Self { vault, extra }
    }
}
