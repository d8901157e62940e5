//! Notes beside a volume: empty files whose names are all that there is to them.

use fief_sdk::Result;

use crate::export::Export;
use crate::fence::LEFT_OVER;
use crate::name;
use crate::status::Status;
use crate::trouble::Answer;
use crate::wire::Wire;

/// Most that are told.
const MOST: usize = 64;

impl<W: Wire> Export<W> {
    pub(crate) async fn leave_note(&self, volume: &str, note: u64) -> Result<()> {
        self.existing(volume).await?;
        self.write_note(volume, note)
            .await
            .map_err(|trouble| trouble.error(format!("cannot leave a note beside volume {volume}")))
    }

    async fn write_note(&self, volume: &str, note: u64) -> Answer<()> {
        match self.files.create(&self.folder, &name::note(volume, note)).await {
            Ok(new) => self.files.close(new).await?,
            // Left by a call that was cut off, and said again.
            Err(trouble) if trouble.is(Status::EXIST) => {}
            Err(trouble) => return Err(trouble),
        }
        // Those of hosts that died meanwhile, by the server's own clock.
        let listed = self.files.list(&self.folder).await?;
        let notes = || listed.iter().filter_map(|file| Some((file, name::note_of(volume, &file.name)?)));
        let written = |attributes: &Option<crate::types::Attributes>| attributes.as_ref().map(|about| about.modified);
        let now = notes().find(|(_, number)| *number == note).and_then(|(file, _)| written(&file.attributes));
        for (file, _) in notes() {
            if let (Some(now), Some(then)) = (now, written(&file.attributes))
                && now.saturating_sub(then) > LEFT_OVER
            {
                self.files.remove(&self.folder, &file.name).await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn notes(&self, volume: &str) -> Result<Vec<u64>> {
        self.existing(volume).await?;
        let listed = self.files.list(&self.folder).await;
        let listed = listed.map_err(|trouble| trouble.error(format!("cannot read the notes of volume {volume}")))?;
        Ok(listed.iter().filter_map(|file| name::note_of(volume, &file.name)).take(MOST).collect())
    }

    pub(crate) async fn remove_note(&self, volume: &str, note: u64) -> Result<()> {
        let removed = self.files.remove(&self.folder, &name::note(volume, note)).await;
        removed.map_err(|trouble| trouble.error(format!("cannot take a note away from volume {volume}")))
    }
}
