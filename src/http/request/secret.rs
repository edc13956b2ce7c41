//! Text that must not be shown.

use std::fmt;

/// A token, or text with one in it. `Debug` does not show it, so that no log and no panic does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Secret<'a>(&'a str);

impl<'a> Secret<'a> {
    /// Conceals a text.
    pub(crate) fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// The text, to be checked or given back to its owner.
    pub(crate) fn reveal(self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
