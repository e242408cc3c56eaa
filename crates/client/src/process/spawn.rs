use twentyfirst_protocol::IntoId;
use twentyfirst_protocol::processes::{ProcessId, Spawn};

use crate::call::Call;

impl<T> Call<Spawn, T> {
    /// Sets the id of the process; the default is a random id. With an id of your own the call can be repeated, even by another
    /// program: of several spawns with the same id in a sandbox only the first starts the command, and all return its process.
    pub fn id(self, id: impl IntoId<ProcessId>) -> Self {
        self.and_then(|mut spawn| {
            spawn.id = id.into_id()?;
            Ok(spawn)
        })
    }
}
