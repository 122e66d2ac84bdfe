//! Orders the steps: lock, create, seal, commit, manifest, record. Knows the
//! drivers' traits only; prints nothing, reads no environment, takes `now`.

/// Where an operation tells how it goes. `render` implements it.
pub trait Reporter: Sync {
    /// A phase begins that moves bytes; `total` where it is known.
    fn phase(&self, what: &str, total_bytes: Option<u64>);
    /// So many more bytes of the phase are through. Called from any thread.
    fn advance(&self, bytes: u64);
    /// The phase is over.
    fn phase_done(&self);
    /// Worth knowing with `-v`.
    fn detail(&self, text: &str);
    /// Worth knowing always; does not stop the run.
    fn warn(&self, text: &str);
}
