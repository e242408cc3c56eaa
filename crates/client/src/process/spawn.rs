use twentyfirst_protocol::IntoId;
use twentyfirst_protocol::processes::{ProcessId, Spawn};

use crate::call::Call;

impl<T> Call<Spawn, T> {
    /// Sets the id of the process; the default is a random id. With an id of your own the call can be repeated, also by another
    /// program: of all spawns with the same id in a sandbox only one starts the command, and each returns the process.
    pub fn id(self, id: impl IntoId<ProcessId>) -> Self {
        self.and_then(|mut spawn| {
            spawn.id = id.into_id()?;
            Ok(spawn)
        })
    }
}
