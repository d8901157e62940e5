//! The volumes of a pool.

use super::VolumeSpec;
use super::call::Changed;
use super::pool::Pool;
use crate::config::policy::HostInterface;
use crate::error::{Failure, Kind, Result};
use crate::gate::Mode;
use crate::gate::operation::ImageFormat;
use crate::sandbox::protocol::{Ability, CloneStyle, StorageCall, VolumeFacts};
use crate::types::{ByteSize, SnapshotName, VolumeName};

impl Pool {
    pub fn volumes(&mut self) -> Result<Vec<VolumeFacts>> {
        let pool = self.definition.name.clone();
        self.query(StorageCall::All, |from, answer| from.volumes(answer))
            .map_err(|failure| failure.while_doing(format!("cannot list the volumes of {pool}")))
    }

    pub fn volume(&mut self, name: &VolumeName) -> Result<VolumeFacts> {
        self.query(StorageCall::Find { name: name.to_string() }, |from, answer| from.volume(answer, name))
            .map_err(|failure| self.about("look at", name, failure))
    }

    pub fn create_volume(&mut self, spec: &VolumeSpec) -> Result<VolumeFacts> {
        self.make_volume(spec, |_| Ok(()))
    }

    /// A volume that is new for certain. `note` is called once it is made and before that is final: whoever answers
    /// for it writes it down there, so that a death at any point leaves it either undone or written down.
    pub fn create_new_volume(&mut self, spec: &VolumeSpec, note: impl FnOnce() -> Result<()>) -> Result<VolumeFacts> {
        let there = || Failure::conflict(format!("there is a volume {} already", spec.name));
        let mode = self.gate.mode();
        if mode == Mode::Perform && !self.makes_images() {
            // What it makes elsewhere is in no ledger of ours: it is looked for before, and written down before.
            return match self.volume(&spec.name) {
                Ok(_) => Err(self.about("create", &spec.name, there())),
                Err(failure) if failure.kind == Kind::NotFound => {
                    note()?;
                    self.make_volume(spec, |_| Ok(()))
                }
                Err(failure) => Err(failure),
            };
        }
        self.make_volume(spec, |changed| match (changed, mode) {
            (Changed::Something, Mode::Perform) => note(),
            (Changed::Nothing, Mode::Perform) => Err(there()),
            // Nothing is written down there either.
            (Changed::Something | Changed::Nothing, Mode::DryRun) => Ok(()),
        })
    }

    /// Its volumes are images that the host makes for the plugin.
    fn makes_images(&self) -> bool {
        let grants = self.gate.policy().plugins.get(&self.plugin);
        grants.is_some_and(|grants| grants.interfaces.contains(&HostInterface::Images))
    }

    /// Whether it keeps a volume in whatever format is wanted: one that its plugin serves is its bytes.
    pub fn keeps_formats(&self) -> bool {
        self.makes_images() && !self.always_serves()
    }

    fn always_serves(&self) -> bool {
        self.definition.settings.get("transport").is_some_and(|way| way == "served")
    }

    /// What a plugin serves is a disk as it is. An image within has no end to grow past, and its header would tell the
    /// hypervisor of other files in the words of a plugin.
    ///
    /// # Errors
    /// `Usage` for an image that no guest would reach.
    fn refuse_unreachable(&self, format: ImageFormat) -> Result<()> {
        match format {
            ImageFormat::Qcow2 if self.always_serves() => Err(Failure::usage(format!(
                "the pool {} serves its volumes (transport = \"served\"), and a qcow2 image cannot be served",
                self.definition.name
            ))
            .hint("make it raw: --format raw; or use a pool whose volumes are opened natively")),
            ImageFormat::Raw | ImageFormat::Qcow2 => Ok(()),
        }
    }

    fn make_volume(&mut self, spec: &VolumeSpec, note: impl FnOnce(Changed) -> Result<()>) -> Result<VolumeFacts> {
        self.refuse_unreachable(spec.format).map_err(|failure| self.about("create", &spec.name, failure))?;
        let function = StorageCall::Create {
            name: spec.name.to_string(),
            size: spec.size.bytes(),
            format: spec.format,
            preallocation: spec.preallocation,
        };
        let mode = self.gate.mode();
        self.change_knowing(function, |from, answer, changed| {
            let facts = from.volume(answer, &spec.name)?;
            note(changed)?;
            match mode {
                Mode::Perform if facts.format != spec.format => Err(from.fault(format!(
                    "the volume {} is {}, and {} was asked for",
                    spec.name,
                    facts.format.as_str(),
                    spec.format.as_str()
                ))),
                Mode::Perform => from.at_least(facts, spec.size),
                // Nothing was made that could have a size.
                Mode::DryRun => Ok(facts),
            }
        })
        .map_err(|failure| self.about("create", &spec.name, failure))
    }

    /// One that is not there is already deleted. That no domain uses it is for the caller to see to.
    pub fn delete_volume(&mut self, name: &VolumeName) -> Result<()> {
        self.change(StorageCall::Delete { name: name.to_string() }, |from, answer| from.nothing(&answer))
            .map_err(|failure| self.about("delete", name, failure))
    }

    pub fn resize_volume(&mut self, name: &VolumeName, size: ByteSize) -> Result<VolumeFacts> {
        let mode = self.gate.mode();
        let function = StorageCall::Resize { name: name.to_string(), size: size.bytes() };
        self.change(function, |from, answer| {
            let facts = from.volume(answer, name)?;
            match mode {
                Mode::Perform => from.at_least(facts, size),
                Mode::DryRun => Ok(facts),
            }
        })
        .map_err(|failure| self.about("resize", name, failure))
    }

    /// One that is gone, where there is one of the new name, is already renamed. That nobody uses it is for the caller to
    /// see to.
    pub fn rename_volume(&mut self, name: &VolumeName, to: &VolumeName) -> Result<VolumeFacts> {
        let function = StorageCall::Rename { name: name.to_string(), to: to.to_string() };
        self.change(function, |from, answer| from.volume(answer, to))
            .map_err(|failure| self.about("rename", name, failure))
    }

    /// As far as a dry run can tell: what a plugin does elsewhere than in images is not fief's to foresee.
    pub fn foresee_rename(&mut self, name: &VolumeName, to: &VolumeName) -> Result<VolumeFacts> {
        if self.makes_images() {
            return self.rename_volume(name, to);
        }
        Ok(VolumeFacts { name: to.to_string(), ..self.volume(name)? })
    }

    /// # Errors
    /// `Usage` where the plugin cannot.
    pub fn can_rename(&mut self) -> Result<()> {
        if self.can(Ability::Renames)? {
            return Ok(());
        }
        let pool = &self.definition.name;
        Err(Failure::usage(format!("the volumes of the pool {pool} are named by their storage, and keep their names"))
            .hint("`fief volume move` takes one to another pool, under another name"))
    }

    /// `note` as for [`Pool::create_new_volume`].
    pub fn clone_volume(
        &mut self,
        source: &VolumeName,
        snapshot: Option<&SnapshotName>,
        target: &VolumeName,
        style: CloneStyle,
        note: impl FnOnce() -> Result<()>,
    ) -> Result<VolumeFacts> {
        let function = StorageCall::Clone {
            source: source.to_string(),
            snapshot: snapshot.map(SnapshotName::to_string),
            target: target.to_string(),
            style,
        };
        self.change(function, |from, answer| {
            let facts = from.volume(answer, target)?;
            note().map(|()| facts)
        })
        .map_err(|failure| self.about("clone", source, failure))
    }

    pub(super) fn about(&self, doing: &str, volume: &VolumeName, failure: Failure) -> Failure {
        failure.while_doing(format!("cannot {doing} the volume {}/{volume}", self.definition.name))
    }
}
