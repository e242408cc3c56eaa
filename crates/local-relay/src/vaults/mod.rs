//! Vaults and their credentials. The values of credentials are not kept, since local agents do not use them.
//!
//! ```text
//!   vault:       active ─► DELETE ─► archived, with its credentials ─► DELETE ?force=true ─► gone
//!   credential:  active ─► DELETE ─► archived ─► DELETE ?force=true ─► gone
//! ```

mod check;
mod credentials;
mod refusals;
mod routes;
mod server_url;
mod store;

pub(crate) use credentials::{
    create as create_credential, delete as delete_credential, update as update_credential,
};
pub(crate) use routes::{create, delete, get, list, set_default, update};
pub(crate) use store::Vaults;
