//! Vaults and their credentials, of which only the existence is kept: local agents have no use for the values.

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
