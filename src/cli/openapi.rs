//! `usrlocd openapi`: the description of the API.

use clap::Args;

use super::output;
use crate::daemon::Failure;
use crate::http::{Answers, openapi_document};
use crate::registration::item::Wire;

/// Print the description of the API (OpenAPI 3.1)
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd openapi > openapi.json

Exit status:
  0 success, 64 usage")]
pub(super) struct Openapi {}

impl Openapi {
    #[expect(clippy::unused_self, reason = "every verb runs itself")]
    pub(super) fn run(&self) -> Result<(), Failure> {
        let document = openapi_document(Wire::Document, Answers::OfNode);
        output::print(&format!("{document:#}\n"))
    }
}
