//! What goes between a command and the process that fetches for it (`room`): one [`Order`], then one [`Answer`] and the bytes
//! that it speaks of.
//!
//! ```text
//!   command ── Order, JSON ── end ──▸ room
//!           ◂── Answer, JSON ── \n ── bytes ── end ──
//! ```

use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::types::Digest;

/// Longest order, in bytes: certificates and all.
pub(super) const ORDER_MAX: u64 = 8 << 20;
/// Longest answer without the bytes.
pub(super) const ANSWER_MAX: usize = 64 << 10;

/// No `Debug`: it may hold a password.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Order {
    pub what: What,
    /// Certificates (DER) that are trusted beside the system's.
    pub ca: Vec<Vec<u8>>,
    pub timeout_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum What {
    Https {
        address: String,
    },
    Oci {
        reference: String,
        login: Option<Login>,
        /// Its registry is asked without TLS.
        plain_http: bool,
    },
}

/// Who a registry is told that we are.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Login {
    pub user: String,
    pub password: String,
}

pub(super) type Answer = Result<Found, Failure>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    /// How many bytes follow.
    pub length: usize,
    /// The manifest that a registry's tag led to.
    pub manifest: Option<Digest>,
}
