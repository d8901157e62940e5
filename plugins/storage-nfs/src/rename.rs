//! Another name for a volume: it has its lease at every moment, and never takes another's place.
//!
//! ```text
//!   the lease of OLD is written beside NEW ▸ OLD is linked to NEW, refused where there is one ▸ OLD goes ▸ its lease goes
//! ```
//! Said again after it was cut off anywhere, it goes on from there: one file by two names is a volume on its way, and where
//! NEW alone is left, so may be the lease of OLD.

use fief_sdk::storage::Volume;
use fief_sdk::{Error, Result};

use crate::export::Export;
use crate::name;
use crate::status::Status;
use crate::trouble::{Answer, Trouble};
use crate::volumes::Entry;
use crate::wire::Wire;

impl<W: Wire> Export<W> {
    pub(crate) async fn rename_volume(&self, volume: &str, to: &str) -> Result<Volume> {
        let doing = || format!("cannot rename volume {volume} to {to}");
        let exists = || Error::already_exists(format!("volume {to} is there already"));
        let (entry, there) = (self.find(volume).await?, self.find(to).await?);
        let entry = match (entry, there) {
            (None, None) => return Err(Error::not_found(format!("there is no volume {volume} in this pool"))),
            (None, Some(there)) => {
                self.drop_leases(volume).await.map_err(|trouble| trouble.error(doing()))?;
                return self.volume(&there).await;
            }
            (Some(entry), Some(there)) if entry.about.id != there.about.id => {
                fief_sdk::debug!("the new name is taken", file = there.file, by = entry.file);
                return Err(exists());
            }
            (Some(entry), Some(_) | None) => entry,
        };
        let before = self.volume(&entry).await?;
        let file = name::file(to, entry.format)?;
        let copied = self.copy_lease(volume, to).await?;
        match self.move_file(&entry, &file).await {
            Err(trouble @ Trouble::Status(_)) => {
                if copied {
                    self.drop_leases(to).await.map_err(|trouble| trouble.error(doing()))?;
                }
                return Err(if trouble.is(Status::EXIST) { exists() } else { trouble.error(doing()) });
            }
            other => other.map_err(|trouble| trouble.error(doing()))?,
        }
        self.drop_leases(volume).await.map_err(|trouble| trouble.error(doing()))?;
        Ok(Volume { name: to.to_owned(), ..before })
    }

    /// # Errors
    /// A status: nothing has changed. `EXIST`: something else has the name.
    async fn move_file(&self, entry: &Entry, file: &str) -> Answer<()> {
        if !self.limits.links {
            // Over whatever came to be there since it was looked for: such a server has no better.
            return self.files.rename(&self.folder, &entry.file, file).await;
        }
        self.files.link(&entry.handle, &self.folder, file).await?;
        match self.files.remove(&self.folder, &entry.file).await {
            Err(refused @ Trouble::Status(_)) => {
                // A file by two names would be two volumes.
                self.files.remove(&self.folder, file).await?;
                Err(refused)
            }
            other => other,
        }
    }
}
