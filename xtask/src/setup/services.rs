//! Packages are installed here for their programs; none of their services is to start.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::command::{Doing, Result};

/// What Debian's `invoke-rc.d` asks before it starts a service (invoke-rc.d(8)); 101 forbids it.
const ASKED: &str = "/usr/sbin/policy-rc.d";
const ANSWER: &str = "#!/bin/sh\n# Put here by cargo xtask while it installs packages.\nexit 101\n";

/// While this is held, apt starts no service.
pub(crate) struct NoServices {
    ours: bool,
}

impl NoServices {
    pub(crate) fn hold() -> Result<Self> {
        let path = Path::new(ASKED);
        // One of ours may be left from a run that was killed; another's is left alone.
        let ours = match std::fs::read_to_string(path) {
            Ok(there) => there == ANSWER,
            Err(_) => {
                std::fs::write(path, ANSWER).doing(|| format!("cannot write {ASKED}"))?;
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
                true
            }
        };
        Ok(NoServices { ours })
    }

    pub(crate) fn release(self) -> Result<()> {
        if self.ours {
            std::fs::remove_file(ASKED).doing(|| format!("cannot remove {ASKED}"))?;
        }
        Ok(())
    }
}
