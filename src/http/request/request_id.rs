//! Ids of requests.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::clock::Clock;

/// Carries the id of a request, there and back.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The length of a caller's id, at most.
const MAX_LENGTH: usize = 200;

/// Makes ids that no other request has.
#[derive(Debug)]
pub(crate) struct RequestIds {
    seed: u64,
    next: AtomicU64,
}

/// The id of a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(Id);

#[derive(Clone, Debug)]
enum Id {
    /// Made here: hexadecimal digits.
    Fresh([u8; 32]),
    /// Sent by the caller: visible ASCII.
    Sent(HeaderValue),
}

impl RequestIds {
    /// Ids that differ from those of another run.
    pub(crate) fn new(clock: &dyn Clock) -> Self {
        let mut seed = [0; 8];
        if getrandom::fill(&mut seed).is_err() {
            // An id need not be secret; the time makes it differ well enough.
            let nanos = clock.unix().as_nanos().to_le_bytes();
            seed.copy_from_slice(&nanos[..8]);
        }
        Self {
            seed: u64::from_le_bytes(seed),
            next: AtomicU64::new(0),
        }
    }

    /// The caller's own id if it is one, else a fresh one.
    pub(crate) fn of(&self, headers: &HeaderMap) -> RequestId {
        headers
            .get(X_REQUEST_ID)
            .filter(|id| !id.is_empty() && id.len() <= MAX_LENGTH && id.to_str().is_ok())
            .map_or_else(|| self.fresh(), |id| RequestId(Id::Sent(id.clone())))
    }

    /// A fresh id: 32 hexadecimal digits.
    pub(crate) fn fresh(&self) -> RequestId {
        let number = self.next.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        let id = xxh3_128_with_seed(&number, self.seed).to_be_bytes();
        let mut digits = [0; 32];
        hex::encode_to_slice(id, &mut digits).expect("32 digits have room for 16 bytes");
        RequestId(Id::Fresh(digits))
    }
}

impl RequestId {
    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        match &self.0 {
            Id::Fresh(digits) => std::str::from_utf8(digits).unwrap_or_default(),
            Id::Sent(value) => value.to_str().unwrap_or_default(),
        }
    }

    /// As a header.
    pub(crate) fn into_header(self) -> HeaderValue {
        match self.0 {
            Id::Fresh(digits) => {
                HeaderValue::from_bytes(&digits).expect("hexadecimal digits are visible ASCII")
            }
            Id::Sent(value) => value,
        }
    }
}
