//! Tests of the API: one file a route and one a subject that all routes share, over a view that is filled by hand.

mod connections;
mod cors;
mod count;
mod delete;
mod filters;
mod formats;
mod health;
mod jwt;
mod large;
mod limits;
mod list;
mod openapi;
mod paging;
mod ready;
mod refused;
mod secrecy;
mod site;
mod starting;
mod system;
mod user;
