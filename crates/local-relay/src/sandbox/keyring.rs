/// Gives this thread, and those that it starts, an empty session keyring: whoever inherits one can read what is in it,
/// whatever namespaces it is in. The other threads of the process keep theirs.
///
/// Where that is not possible, as in most containers, there are no keyrings for commands either.
pub(crate) fn leave_session_keyring() {
    #[cfg(target_os = "linux")]
    keyutils::Keyring::join_anonymous_session().ok();
}
