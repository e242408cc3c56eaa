use twentyfirst_protocol::IntoId;
use twentyfirst_protocol::processes::{ProcessId, Spawn};

use crate::call::Call;

impl<T> Call<Spawn, T> {
    /// Chooses the id of the process; a random one by default. With an id of your own a call can be repeated, also by another program: of
    /// all spawns with one id in a sandbox, one starts the command, and each returns it.
    pub fn id(self, id: impl IntoId<ProcessId>) -> Self {
        self.and_then(|mut spawn| {
            spawn.id = id.into_id()?;
            Ok(spawn)
        })
    }
}
