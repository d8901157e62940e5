//! The NBD server, seen by the tools of others: what they say of it is what they say of nbdkit with the same data, and
//! where it is not, the difference stands here with its reason.

mod copies;
mod information;
mod life;
mod requests;
mod served;
