//! Files on a server, whichever version it speaks.

use std::collections::BTreeSet;

use crate::status::Status;
use crate::trouble::{Answer, Trouble, found};
use crate::types::{Attributes, Entry, Handle, Kind, Space, Stable, Verifier, Written};
use crate::v4::client::Under;
use crate::v4::compound::StateId;
use crate::v4::session::Session;
use crate::wire::{Wire, random};
use crate::{v3, v4};

pub(crate) enum Files<W> {
    V3(v3::client::Client<W>),
    V4(Box<Session<W>>),
}

/// A file that is open until it is closed. v3 knows of no such thing.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) file: Handle,
    state: StateId,
}

/// What one request may carry, and what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) read: u32,
    pub(crate) write: u32,
    /// Hard links: what a lease, and a volume that comes into being as a whole, is made with.
    pub(crate) links: bool,
    /// Seconds after which the server forgets a client that says nothing; v3 has none.
    pub(crate) lease: Option<u32>,
}

/// Most names of a folder that are looked at.
const MOST_NAMES: usize = 100_000;
/// How often a folder is listed that changes meanwhile.
const LISTINGS: u32 = 20;

impl<W: Wire> Files<W> {
    fn wire(&self) -> &W {
        match self {
            Files::V3(client) => &client.wire,
            Files::V4(session) => &session.wire,
        }
    }

    pub(crate) async fn wait(&self, milliseconds: u32) -> Answer<()> {
        Ok(self.wire().wait(milliseconds).await?)
    }

    pub(crate) async fn limits(&self, folder: &Handle) -> Answer<Limits> {
        let most = v4::establish::DATA;
        match self {
            Files::V3(client) => {
                let limits = client.limits(folder).await?;
                let (read, write) = (limits.read.clamp(512, most), limits.write.clamp(512, most));
                Ok(Limits { read, write, links: limits.links, lease: None })
            }
            Files::V4(session) => {
                let about = session.about(folder).await?;
                let channel = session.channel();
                let fits = |bytes: Option<u64>, channel: u32| {
                    let server = u32::try_from(bytes.unwrap_or(u64::MAX)).unwrap_or(u32::MAX);
                    server.min(channel.saturating_sub(v4::establish::AROUND)).clamp(512, most)
                };
                Ok(Limits {
                    read: fits(about.read, channel.response),
                    write: fits(about.write, channel.request),
                    links: about.links.unwrap_or(true),
                    lease: Some(about.lease.unwrap_or(90)),
                })
            }
        }
    }

    pub(crate) async fn space(&self, folder: &Handle) -> Answer<Option<Space>> {
        match self {
            Files::V3(client) => client.space(folder).await.map(Some),
            Files::V4(session) => session.space(folder).await,
        }
    }

    pub(crate) async fn attributes(&self, file: &Handle) -> Answer<Attributes> {
        match self {
            Files::V3(client) => client.attributes(file).await,
            Files::V4(session) => session.attributes(file).await,
        }
    }

    /// What has this name, if anything has.
    pub(crate) async fn lookup(&self, folder: &Handle, name: &str) -> Answer<Option<(Handle, Attributes)>> {
        found(match self {
            Files::V3(client) => client.lookup(folder, name).await,
            Files::V4(session) => session.lookup(folder, name).await,
        })
    }

    /// All names of a folder. A server may trip over one that goes meanwhile, not know any more where it was, or go in a
    /// circle: from the beginning then.
    pub(crate) async fn list(&self, folder: &Handle) -> Answer<Vec<Entry>> {
        for _ in 1..LISTINGS {
            match self.list_once(folder, true).await {
                Err(Trouble::Status(Status::NOENT | Status::BAD_COOKIE | Status::NOT_SAME)) => self.wait(50).await?,
                other => return other,
            }
        }
        self.list_once(folder, false).await
    }

    /// `once_each`: a name that comes twice ends it, with `BAD_COOKIE`.
    async fn list_once(&self, folder: &Handle, once_each: bool) -> Answer<Vec<Entry>> {
        let mut seen = BTreeSet::new();
        let (mut all, mut cookie, mut verifier) = (Vec::new(), 0, Verifier::default());
        loop {
            let page = match self {
                Files::V3(client) => client.list(folder, cookie, verifier).await?,
                Files::V4(session) => session.list(folder, cookie, verifier).await?,
            };
            (cookie, verifier) = (page.cookie, page.cookie_verifier);
            if once_each && !page.entries.iter().all(|entry| seen.insert(entry.name.clone())) {
                return Err(Trouble::Status(Status::BAD_COOKIE));
            }
            all.extend(page.entries);
            if page.last {
                return Ok(all);
            }
            if all.len() > MOST_NAMES {
                return Err(fief_sdk::Error::exhausted(format!("the folder has more than {MOST_NAMES} names")).into());
            }
        }
    }

    /// A new, empty file, open for writing. Of several who try at once, one has it.
    pub(crate) async fn create(&self, folder: &Handle, name: &str) -> Answer<Opened> {
        match self {
            Files::V3(client) => {
                let file = client.create(folder, name).await?;
                Ok(Opened { file, state: StateId::ANONYMOUS })
            }
            Files::V4(session) => {
                let (file, state, _) = session.open_name(folder, name, true, true).await?;
                Ok(Opened { file, state })
            }
        }
    }

    pub(crate) async fn open(&self, folder: &Handle, name: &str, write: bool) -> Answer<(Opened, Attributes)> {
        match self {
            Files::V3(client) => {
                let (file, about) = client.lookup(folder, name).await?;
                Ok((Opened { file, state: StateId::ANONYMOUS }, about))
            }
            Files::V4(session) => {
                let (file, state, about) = session.open_name(folder, name, write, false).await?;
                Ok((Opened { file, state }, about))
            }
        }
    }

    pub(crate) async fn close(&self, opened: Opened) -> Answer<()> {
        match self {
            Files::V3(_) => Ok(()),
            Files::V4(session) => session.close_state(&opened.file, opened.state).await,
        }
    }

    pub(crate) async fn set_size(&self, opened: &Opened, size: u64) -> Answer<()> {
        match self {
            Files::V3(client) => client.set_size(&opened.file, size).await,
            Files::V4(session) => session.set_size(&opened.file, Under::State(opened.state), size).await,
        }
    }

    pub(crate) async fn read(&self, opened: &Opened, offset: u64, length: u32) -> Answer<(Vec<u8>, bool)> {
        let (data, ended) = match self {
            Files::V3(client) => client.read(&opened.file, offset, length).await?,
            Files::V4(session) => session.read(&opened.file, Under::State(opened.state), offset, length).await?,
        };
        Ok((data.into_bytes(), ended))
    }

    /// The first bytes of a file, without opening it.
    pub(crate) async fn head(&self, file: &Handle, length: u32) -> Answer<Vec<u8>> {
        let opened = Opened { file: file.clone(), state: StateId::ANONYMOUS };
        let mut head = Vec::new();
        // A server may give less than there is.
        while head.len() < length as usize {
            let (more, ended) = self.read(&opened, head.len() as u64, length - head.len() as u32).await?;
            let got = more.len();
            head.extend(more);
            if ended || got == 0 {
                break;
            }
        }
        Ok(head)
    }

    pub(crate) async fn write(&self, opened: &Opened, offset: u64, data: &[u8], stable: Stable) -> Answer<Written> {
        match self {
            Files::V3(client) => client.write(&opened.file, offset, data, stable).await,
            Files::V4(session) => session.write(&opened.file, Under::State(opened.state), offset, data, stable).await,
        }
    }

    /// All of it, on stable storage by the time of the answer.
    pub(crate) async fn write_all(&self, opened: &Opened, mut offset: u64, mut data: &[u8]) -> Answer<()> {
        while !data.is_empty() {
            let part = &data[..data.len().min(v4::establish::DATA as usize / 4)];
            let written = self.write(opened, offset, part, Stable::File).await?;
            offset += u64::from(written.count);
            data = &data[written.count as usize..];
        }
        Ok(())
    }

    /// What was written unstable is on stable storage, if the verifier is still the one of the writes.
    pub(crate) async fn commit(&self, opened: &Opened) -> Answer<Verifier> {
        match self {
            Files::V3(client) => client.commit(&opened.file).await,
            Files::V4(session) => session.commit(&opened.file).await,
        }
    }

    pub(crate) async fn remove(&self, folder: &Handle, name: &str) -> Answer<()> {
        let removed = match self {
            Files::V3(client) => client.remove(folder, name).await,
            Files::V4(session) => session.remove(folder, name).await,
        };
        found(removed).map(|_| ())
    }

    pub(crate) async fn create_folder(&self, folder: &Handle, name: &str) -> Answer<()> {
        match self {
            Files::V3(client) => client.create_folder(folder, name).await,
            Files::V4(session) => session.create_folder(folder, name).await,
        }
    }

    /// A folder with the files in it, if it is there.
    pub(crate) async fn remove_folder(&self, folder: &Handle, name: &str) -> Answer<()> {
        let Some((inside, _)) = self.lookup(folder, name).await? else { return Ok(()) };
        for file in self.list(&inside).await?.iter().filter(|file| file.name != "." && file.name != "..") {
            self.remove(&inside, &file.name).await?;
        }
        let removed = match self {
            Files::V3(client) => client.remove_folder(folder, name).await,
            Files::V4(session) => session.remove(folder, name).await,
        };
        found(removed).map(|_| ())
    }

    /// Over what has the new name; a folder over no other that has anything in it.
    pub(crate) async fn rename(&self, folder: &Handle, from: &str, to: &str) -> Answer<()> {
        match self {
            Files::V3(client) => client.rename(folder, from, to).await,
            Files::V4(session) => session.rename(folder, from, to).await,
        }
    }

    /// One more name for a file, refused where there is such a name. That it is there through this very call, whose
    /// first answer was lost, is no refusal.
    pub(crate) async fn link(&self, file: &Handle, folder: &Handle, name: &str) -> Answer<()> {
        let linked = match self {
            Files::V3(client) => client.link(file, folder, name).await,
            Files::V4(session) => session.link(file, folder, name).await,
        };
        match linked {
            Err(trouble) if trouble.is(Status::EXIST) => match self.lookup(folder, name).await? {
                Some((_, there)) if there.id == self.attributes(file).await?.id => Ok(()),
                _ => Err(trouble),
            },
            other => other,
        }
    }

    /// Where the next data begins, or the next hole; none where the file ends first.
    pub(crate) async fn seek(&self, opened: &Opened, offset: u64, hole: bool) -> Answer<Option<u64>> {
        match self {
            Files::V4(session) if session.has_4_2() => {
                session.seek(&opened.file, Under::State(opened.state), offset, hole).await
            }
            _ => Err(Trouble::Status(Status::NOTSUPP)),
        }
    }

    /// Takes all blocks of it now.
    pub(crate) async fn allocate(&self, opened: &Opened, length: u64) -> Answer<()> {
        match self {
            Files::V4(session) if session.has_4_2() => {
                session.allocate(&opened.file, Under::State(opened.state), 0, length).await
            }
            _ => Err(Trouble::Status(Status::NOTSUPP)),
        }
    }

    /// The server makes `to` the same as `from`, by sharing blocks or by copying.
    ///
    /// # Errors
    /// `NOTSUPP` and its like: it does neither.
    pub(crate) async fn duplicate(&self, from: &Opened, to: &Opened, length: u64) -> Answer<()> {
        let Files::V4(session) = self else { return Err(Trouble::Status(Status::NOTSUPP)) };
        if !session.has_4_2() {
            return Err(Trouble::Status(Status::NOTSUPP));
        }
        let (from, to) = ((&from.file, from.state), (&to.file, to.state));
        match session.clone_file(from, to, length).await {
            Err(Trouble::Status(_)) => {}
            other => return other,
        }
        let mut done = 0;
        while done < length {
            match session.copy(from, to, done, length - done).await? {
                0 => return Err(Trouble::Status(Status::NOTSUPP)),
                copied => done += copied.min(length - done),
            }
        }
        session.commit(to.0).await.map(|_| ())
    }

    /// Lets go of what the server keeps for this client.
    pub(crate) async fn leave(&self) {
        match self {
            Files::V3(_) => {}
            Files::V4(session) => session.close().await,
        }
    }

    /// A folder below another.
    pub(crate) async fn walk(&self, mut folder: Handle, path: &str) -> Answer<Handle> {
        for part in path.split('/').filter(|part| !part.is_empty()) {
            match self.lookup(&folder, part).await? {
                Some((next, about)) if about.kind == Kind::Folder => folder = next,
                Some(_) => return Err(fief_sdk::Error::invalid(format!("{part} is no folder")).into()),
                None => return Err(Trouble::Status(Status::NOENT)),
            }
        }
        Ok(folder)
    }
}

/// Another name for each try: what a crashed one left is in nobody's way.
pub(crate) fn temporary(of: &str, suffix: &str) -> String {
    format!(".{of}.{:016x}.{suffix}", random())
}
