/// Gives this thread, and the threads that it starts, an empty session keyring. Other threads keep theirs.
///
/// Commands inherit the session keyring and could read its keys, in any namespace. Errors are ignored: systems that refuse the call, such
/// as most containers, refuse keyrings to commands as well.
pub(crate) fn leave_session_keyring() {
    #[cfg(target_os = "linux")]
    keyutils::Keyring::join_anonymous_session().ok();
}
