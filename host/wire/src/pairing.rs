//! The one exchange with a host whose certificate is not known yet: a frame each way. It is the only thing that fief
//! reads from a stranger, so it is as small as it can be.

use serde::{Deserialize, Serialize};

use crate::Body;
use crate::hello::Who;

/// From the host that was invited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Join {
    pub versions: Vec<u16>,
    /// Which invitation; hexadecimal.
    pub invitation: String,
    /// That it knows the secret, for this TLS session alone; hexadecimal.
    pub proof: String,
    /// Where it listens itself: a port, and an address where it is not the one that it comes from. None: it does not.
    pub port: Option<u16>,
    pub address: Option<String>,
    #[serde(flatten)]
    pub who: Who,
}

/// From the host that invited it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Joined {
    Paired {
        /// The name that the new peer has there.
        known_as: String,
        #[serde(flatten)]
        who: Who,
    },
    Refused {
        failure: Body,
    },
}
