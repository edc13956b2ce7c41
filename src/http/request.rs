//! What a caller asks for: the request, read and parsed. Pure, but for the reading of a body.

pub(crate) mod call;
pub(crate) mod chosen;
pub(crate) mod fields;
pub(crate) mod filter;
pub(crate) mod flush_params;
pub(crate) mod format;
pub(crate) mod history_params;
pub(crate) mod notify_params;
pub(crate) mod paging;
pub(crate) mod params;
pub(crate) mod reach;
pub(crate) mod request_id;
pub(crate) mod route;
pub(crate) mod ruids;
pub(crate) mod search;
pub(crate) mod secret;
pub(crate) mod stream_params;
