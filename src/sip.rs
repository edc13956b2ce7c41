//! SIP URIs.
