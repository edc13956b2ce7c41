//! By what right a flush runs.

use std::fmt;

use crate::registration::Text;

/// The right of the caller. A flush may take long, and tokens and directory change meanwhile: it is asked for again
/// before each removal.
pub trait Warrant: fmt::Debug + Send + Sync {
    /// Whether the caller may still flush the account.
    fn holds(&self) -> bool;

    /// Whether what Kamailio has in this domain and the tables do not show may still be taken for the account's.
    fn covers(&self, domain: Option<&Text>) -> bool;
}
