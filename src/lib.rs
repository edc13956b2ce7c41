//! usrlocd: see and manage SIP registrations beside Kamailio.

pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod directory;
pub mod flush;
pub mod http;
pub mod kamailio;
pub mod mirror;
pub mod registration;
pub mod sip;
pub mod sqlite_file;
pub mod store;
pub mod usrloc;
pub mod view;
