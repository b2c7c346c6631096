//! Decoded code: blocks of ops, the cache that keeps them, and their links.

/// Decoded code.
#[derive(Default)]
pub(crate) struct Code {}
