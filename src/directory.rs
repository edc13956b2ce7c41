//! Accounts and devices.
