//! Resolves the names of receivers, and leaves out addresses that are not public.
//!
//! The client connects to what this gives and to nothing else, so a name that resolves to another address a moment later
//! (DNS rebinding) gains nothing.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use thiserror::Error;
use tower::Service;

use super::address::is_public;

/// Addresses of a name, or why there are none.
type Found = io::Result<Vec<SocketAddr>>;

/// Where names are looked up.
pub(super) trait Lookup: Send + Sync + 'static {
    /// The addresses of this name.
    fn lookup(&self, name: Name) -> Pin<Box<dyn Future<Output = Found> + Send>>;
}

/// The resolver of the operating system.
#[derive(Debug)]
pub(super) struct SystemLookup;

/// A name whose addresses are all withheld.
#[derive(Debug, Error)]
#[error("the receiver has no public address")]
pub(super) struct NotPublic;

/// What the client asks for addresses.
#[derive(Clone)]
pub(super) struct Resolver {
    lookup: Arc<dyn Lookup>,
    allow_private: bool,
}

impl Resolver {
    pub(super) fn new(lookup: Arc<dyn Lookup>, allow_private: bool) -> Self {
        Self {
            lookup,
            allow_private,
        }
    }
}

impl Lookup for SystemLookup {
    fn lookup(&self, name: Name) -> Pin<Box<dyn Future<Output = Found> + Send>> {
        let found = GaiResolver::new().call(name);
        Box::pin(async { found.await.map(Iterator::collect) })
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (found, allow_private) = (self.lookup.lookup(name), self.allow_private);
        Box::pin(async move {
            let mut addresses = found.await?;
            if !allow_private {
                let all = addresses.len();
                addresses.retain(|address| is_public(address.ip()));
                if addresses.is_empty() && all > 0 {
                    return Err(io::Error::other(NotPublic));
                }
            }
            Ok(addresses.into_iter())
        })
    }
}
