//! Tests of the API: one file a route, over a view that is filled by hand.

mod count;
mod delete;
mod health;
mod list;
mod refused;
mod site;
mod system;
mod user;
