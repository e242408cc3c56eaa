/// A relay that knows where it is and who may use it, such as a local one in a test: what a client needs to connect to it.
pub trait RelayAccess {
    /// Returns its base URL.
    fn base_url(&self) -> &str;

    /// Returns a key that it accepts.
    fn api_key(&self) -> &str;
}
