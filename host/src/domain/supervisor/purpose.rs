//! What a supervisor is started for, and what it says once it has done that.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::Failure;

/// Why a supervisor was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// To start the domain.
    Start,
    /// To go on with the state in this file, with the definition that `fief restore` left in the domain's folder.
    Restore(PathBuf),
    /// To take up what an earlier supervisor left: a running guest, or the remains of one; or a domain that is ceded.
    Adopt,
    /// To make ready for a domain that another host hands over, by what was left in its folder.
    Incoming,
    /// To hand over a domain that is off.
    Hand,
}

/// The one line that a supervisor says to the command that started it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// The guest runs, or stands still as it was saved; a warning where it could run better.
    Running {
        id: u32,
        warning: Option<String>,
    },
    /// Nothing runs any more; what was left is undone.
    Off,
    /// Another host may begin to send the domain.
    Expecting,
    /// It waits to be told where the domain goes, or for the host that it is ceded to.
    Handing,
    Failed(Failure),
}
