//! usrlocd: see and manage SIP registrations beside Kamailio.

pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod directory;
pub mod document;
pub mod flush;
pub mod http;
pub mod kamailio;
pub mod logging;
pub mod mirror;
pub mod rate_limited;
pub mod registration;
pub mod sip;
pub mod sqlite_file;
pub mod store;
pub mod tokens;
pub mod usrloc;
pub mod view;
