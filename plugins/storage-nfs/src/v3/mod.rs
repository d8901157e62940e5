//! NFS version 3 (RFC 1813), as much of it as volumes need: no locks (NLM, which needs calls from the server, and which a
//! dead host would hold for ever), no holes.

pub mod calls;
pub(crate) mod client;
