//! Taking up a volume, and letting go of it.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use fief_sdk::block::Holder;
use fief_sdk::connections::Connection;
use fief_sdk::storage::{Access, Format};
use fief_sdk::{Error, ErrorCode, Result};
use futures_util::FutureExt;
use futures_util::lock::Mutex;

use super::{DEPTH, Served};
use crate::export::{Export, is_away};
use crate::files::Files;
use crate::gate::Gate;
use crate::kept::Kept;
use crate::rpc::Identity;
use crate::settings::{MOUNT, SERVER, Settings};
use crate::status::Status;
use crate::trouble::{Answer, Trouble};
use crate::types::{FileId, Handle};
use crate::v4::compound::Owner;
use crate::v4::session::Held;
use crate::wire::events::Events;
use crate::wire::fresh::Fresh;
use crate::wire::many::{Greeting, Many};
use crate::wire::{Wire, random};
use crate::{fence, lease, v3};

pub(super) async fn open(
    settings: &Settings,
    volume: &str,
    access: Access,
    holder: Option<&Holder>,
) -> Result<Rc<Served>> {
    let events = Rc::new(Events::default());
    let wire = Many::open(SERVER, settings.connections.0, events.clone());
    let opened = take_up(settings, volume, access, holder, wire.clone(), events).await;
    if let Err(error) = &opened {
        wire.end(error.clone());
    }
    opened
}

async fn take_up(
    settings: &Settings,
    volume: &str,
    access: Access,
    holder: Option<&Holder>,
    wire: Many,
    events: Rc<Events>,
) -> Result<Rc<Served>> {
    let owner = owner(volume, holder);
    let export = loop {
        let mount = async || Ok(Fresh::new(Connection::connect(MOUNT).await?));
        match Export::open(settings, wire.clone(), mount, owner.clone(), DEPTH).await {
            Err(error) if is_away(&error) => wire.wait(1_000).await?,
            other => break other?,
        }
    };
    let entry = export.existing(volume).await?;
    if entry.format != Format::Raw && access != Access::ReadOnly {
        return Err(Error::unsupported(format!("volume {volume} is qcow2, which this plugin serves for reading only")));
    }
    if let Some(holder) = holder {
        lease::still(fence::read(&export.files, &export.folder, volume).await?.as_ref(), holder)?;
    }
    let four_two = matches!(&export.files, Files::V4(session) if session.has_4_2());
    let depth = match &export.files {
        Files::V3(_) => DEPTH,
        Files::V4(session) => session.channel().slots,
    };
    let served = Rc::new(Served {
        wire,
        events,
        volume: volume.to_owned(),
        file: entry.handle,
        id: entry.about.id,
        size: Cell::new(entry.about.size),
        image: OnceCell::new(),
        read_only: access == Access::ReadOnly,
        holder: holder.cloned(),
        depth,
        can_discard: Cell::new(four_two),
        can_extents: Cell::new(four_two),
        kept: RefCell::new(Kept::default()),
        gate: Gate::default(),
        committing: Mutex::new(()),
        reopening: Mutex::new(()),
        lost: RefCell::default(),
        export,
    });
    served.hold(access == Access::Exclusive && holder.is_some()).await?;
    match entry.format {
        Format::Raw => served.probe_extents().await?,
        Format::Qcow2 => drop(served.image.set(served.read_map().await?)),
    }
    served.wire.widen(greeting(&served, settings));
    fief_sdk::spawn(served.clone().watch());
    Ok(served)
}

/// Another sandbox of the same domain is the same client, restarted: the server lets go of what the earlier one held at
/// once (RFC 8881, 18.35.4), and this one need not wait for its lease to run out.
fn owner(volume: &str, holder: Option<&Holder>) -> Owner {
    let name = match holder {
        Some(holder) => format!("fief/{}/{}/{volume}", holder.host, holder.domain),
        None => format!("fief/{:016x}{:016x}", random(), random()),
    };
    Owner { name, verifier: random().to_be_bytes() }
}

/// What a new connection must show before anything goes over it. A server that has sessions knows whether it is the one;
/// v3 is asked for the very file, and the lease.
fn greeting(served: &Rc<Served>, settings: &Settings) -> Greeting {
    let identity = Identity { uid: settings.uid, gid: settings.gid };
    let served = Rc::downgrade(served);
    Rc::new(move |stream: Rc<Fresh>| {
        let served = served.clone();
        async move {
            let Some(served) = served.upgrade() else { return Err(Error::io("the volume was let go of")) };
            match &served.export.files {
                Files::V4(session) => session.greet(&stream).await,
                Files::V3(_) => {
                    let files = Files::V3(v3::client::Client { wire: stream, identity });
                    let is = files.attributes(&served.file).await.map(|about| about.id);
                    served.must_be_same(is).map_err(not_yet)?;
                    served.must_hold(&files).await.map_err(not_yet)
                }
            }
        }
        .boxed_local()
    })
}

/// Nothing but another holder is final.
fn not_yet(error: Error) -> Error {
    match error.code {
        ErrorCode::InUse(_) => error,
        _ => Error::unreachable(error.message),
    }
}

impl Served {
    pub(super) fn must_be_same(&self, is: Answer<FileId>) -> Result<()> {
        match is {
            Ok(is) if is == self.id => Ok(()),
            Ok(_) => Err(self.gone("the server now has another file in its place")),
            Err(Trouble::Status(Status::STALE | Status::BADHANDLE | Status::FHEXPIRED | Status::NOENT)) => {
                Err(self.gone("the server no longer has it"))
            }
            // Not known: another try.
            Err(Trouble::Status(status)) => Err(Error::unreachable(format!("the server says error {}", status.0))),
            Err(Trouble::Final(error)) => Err(error),
        }
    }

    fn gone(&self, why: &str) -> Error {
        Error::not_found(format!("volume {} cannot be used: {why}", self.volume))
    }

    pub(super) fn held_file(&self) -> (Handle, FileId) {
        (self.file.clone(), self.id)
    }

    /// Opens the file on the server, and locks it where `locked`. Another's lock is waited for as long as a dead client
    /// may have one.
    async fn hold(&self, locked: bool) -> Result<()> {
        let Files::V4(session) = &self.export.files else { return Ok(()) };
        let (file, id) = self.held_file();
        let held = Held { file, id, write: !self.read_only, locked, opening: 0, open: None, lock: None };
        let patience = u64::from(self.export.limits.lease.unwrap_or(90)) * 3 / 2;
        let began = self.wire.seconds();
        loop {
            match session.hold(held.clone()).await {
                Ok(()) => return Ok(()),
                Err(Trouble::Status(Status::DENIED | Status::SHARE_DENIED | Status::LOCKED))
                    if self.wire.seconds() - began < patience =>
                {
                    self.export.files.wait(1_000).await.map_err(|trouble| trouble.error("cannot lock the volume"))?;
                }
                Err(trouble) => return Err(trouble.error(format!("cannot open volume {}", self.volume))),
            }
        }
    }

    /// Opens it again after the server let go of it, if it is still ours to write to.
    pub(super) async fn reopen(&self) -> Result<()> {
        let Files::V4(session) = &self.export.files else { return Ok(()) };
        let _alone = self.reopening.lock().await;
        if session.is_held() {
            return Ok(());
        }
        let again = async || {
            self.must_be_same(session.attributes(&self.file).await.map(|about| about.id))?;
            self.must_hold(&self.export.files).await?;
            self.hold(session.was_locked()).await
        };
        match again().await {
            Ok(()) => {
                fief_sdk::warn!("opened again what the server had let go of", volume = self.volume);
                Ok(())
            }
            Err(error) => {
                // All else may be over when it is tried again.
                if let ErrorCode::InUse(_) = error.code {
                    self.fenced(&error);
                    self.wire.end(error.clone());
                }
                Err(error)
            }
        }
    }

    pub(super) async fn close(&self) -> Result<()> {
        let flushed = if self.read_only { Ok(()) } else { self.flush().await };
        if self.wire.ended().is_none() {
            if let Files::V4(session) = &self.export.files {
                let _ = session.release().await;
            }
            self.export.files.leave().await;
        }
        self.wire.end(Error::wrong_state(format!("volume {} was let go of", self.volume)));
        flushed
    }
}
