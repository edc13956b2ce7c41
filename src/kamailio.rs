//! The JSON-RPC client.
