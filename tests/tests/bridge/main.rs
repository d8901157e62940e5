//! Networks on the host's own card: guests reach beyond, the card gets everything back, and nobody is locked out.
//!
//! ```text
//!   host ── eth0 ═══ port ── switch ── port ═══ eth0 ── beyond (the gateway)
//! ```

mod dhcp;
mod trial;
mod uplink;
mod world;
