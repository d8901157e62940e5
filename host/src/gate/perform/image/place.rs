//! Where an image is: an open folder beneath a granted directory, and a name in it. Nothing here goes by a path of
//! the host's once the granted directory is open.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, Uid, XattrFlags};

use super::super::directory;
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::Gate;
use crate::gate::operation::{ImageFormat, ImageRef};
use crate::sys::beneath;
use crate::types::RelativePath;

/// Names that begin so are the gate's own (`aside.rs`).
pub(super) const RESERVED: &str = ".fief-";
/// Images are closed to all but their plugin's user.
const IMAGE_MODE: u32 = 0o600;
/// Remembers the format that an image was made in. A guest may write what looks like a qcow2 header into its raw
/// disk; without this, such a disk would then be read as an image that stands on a file of the guest's choice.
const FORMAT_ATTRIBUTE: &str = "user.fief.format";

pub(super) struct Place {
    /// The granted directory, by its path on the host: for records and messages only.
    base: PathBuf,
    pub root: OwnedFd,
    /// The folder that holds the image.
    pub folder: OwnedFd,
    pub leaf: String,
    pub path: RelativePath,
    /// The plugin's user; none where fief is not root.
    pub owner: Option<u32>,
}

impl Place {
    pub(super) fn find(gate: &Gate, image: &ImageRef) -> Result<Place> {
        let granted = directory::granted(gate, &image.plugin, &image.directory)?;
        Place::below(granted.path, granted.directory, &image.path, granted.owner)
    }

    /// Another path in the same granted directory.
    pub(super) fn beside(&self, path: &RelativePath) -> Result<Place> {
        let root = self.root.try_clone().context(|| "cannot copy a descriptor".into())?;
        Place::below(self.base.clone(), root, path, self.owner)
    }

    /// A file of the operator's, by its absolute path. The way to its folder is the operator's own.
    pub(super) fn of_operator(path: &Path) -> Result<Place> {
        let no_file = || Failure::usage(format!("{} names no file", path.display()));
        let folder = path.parent().ok_or_else(no_file)?;
        let leaf = path.file_name().and_then(|leaf| leaf.to_str()).ok_or_else(no_file)?;
        let leaf: RelativePath = leaf.parse().map_err(|invalid| no_file().because(invalid))?;
        let root =
            directory::open(folder).map_err(|error| refuse(error, &format!("cannot open {}", folder.display())))?;
        let me = rustix::process::geteuid();
        Place::below(folder.to_owned(), root, &leaf, me.is_root().then_some(me.as_raw()))
    }

    /// The place of something that was done: by the path in the record where there is one, since policy may have
    /// changed; none where its folder is gone, and the thing with it.
    pub(super) fn recorded(gate: &Gate, image: &ImageRef, record: Option<&Path>) -> Result<Option<Place>> {
        let found = match record.and_then(|record| above(record, &image.path)) {
            Some(base) => match directory::open(&base) {
                Ok(root) => {
                    let owner = crate::gate::identity::plugin_uid(gate.layout(), gate.policy(), &image.plugin)?;
                    Place::below(base, root, &image.path, owner)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => Err(error).context(|| format!("cannot open {}", base.display())),
            },
            None => Place::find(gate, image),
        };
        match found {
            Ok(place) => Ok(Some(place)),
            Err(failure) if failure.kind == Kind::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn below(base: PathBuf, root: OwnedFd, path: &RelativePath, owner: Option<u32>) -> Result<Place> {
        if path.as_str().split('/').any(|component| component.starts_with(RESERVED)) {
            return Err(Failure::denied(format!("{path}: names that begin with {RESERVED} are the host's own")));
        }
        let (folder, leaf) = beneath::parent(root.as_fd(), path)
            .map_err(|error| refuse(error, &format!("cannot reach the folder of the image {path}")))?;
        Ok(Place { base, folder, leaf: leaf.to_owned(), path: path.clone(), owner, root })
    }

    /// On the host, for records and messages.
    pub(super) fn absolute(&self) -> PathBuf {
        self.base.join(&self.path)
    }

    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    /// # Errors
    /// `NotFound`; `Denied` for a link or what is not a regular file.
    pub(super) fn open(&self, write: bool) -> Result<File> {
        beneath::open_file(&self.folder, &self.leaf, write)
            .map_err(|error| refuse(error, &format!("cannot open the image {}", self.path)))
    }

    /// # Errors
    /// `Conflict` where something stands there.
    pub(super) fn must_be_free(&self) -> Result<()> {
        match beneath::look(&self.folder, &self.leaf).context(|| format!("cannot look at {}", self.path))? {
            Some(_) => Err(Failure::conflict(format!("{} already exists", self.path))),
            None => Ok(()),
        }
    }

    pub(super) fn sync(&self) -> Result<()> {
        rustix::fs::fsync(&self.folder).context(|| format!("cannot write the folder of {} to disk", self.path))
    }

    /// Makes a new file the plugin's, closed to others.
    pub(super) fn own(&self, file: &File) -> io::Result<()> {
        if let Some(uid) = self.owner {
            rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid)))?;
        }
        Ok(rustix::fs::fchmod(file, Mode::from_raw_mode(IMAGE_MODE))?)
    }

    /// Makes sure that a tool which runs as the plugin's user may open `file`: one that belongs to another user
    /// (an operator's download, say) is given to the plugin, unless it is only read and open to all.
    ///
    /// # Errors
    /// `Denied` where the file has a second name, which may lie outside of what was granted.
    pub(super) fn hand_over(&self, file: &File, write: bool) -> Result<()> {
        let saying = || format!("cannot give {} to its plugin's user", self.path);
        let Some(uid) = self.owner else { return Ok(()) };
        let stat = rustix::fs::fstat(file).context(saying)?;
        if stat.st_uid == uid || (!write && stat.st_mode & 0o004 != 0) {
            return Ok(());
        }
        if stat.st_nlink != 1 {
            return Err(Failure::denied(saying())
                .because(io::Error::other("it belongs to another user and has a second name (a hard link)"))
                .hint("copy the file, and put the copy in its place"));
        }
        rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid))).context(saying)
    }
}

/// The granted directory out of an image's absolute path and its path in there.
fn above(absolute: &Path, path: &RelativePath) -> Option<PathBuf> {
    let depth = path.as_str().split('/').count();
    absolute.ends_with(path).then(|| absolute.ancestors().nth(depth).map(Path::to_owned)).flatten()
}

pub(super) fn remember_format(file: &File, format: ImageFormat) {
    // A file system without attributes of users still holds images; their format is then told by their content.
    if let Err(error) = rustix::fs::fsetxattr(file, FORMAT_ATTRIBUTE, format.as_str().as_bytes(), XattrFlags::empty()) {
        tracing::debug!(%error, "the file system keeps no attributes; the image's format is told by its content");
    }
}

pub(super) fn remembered_format(file: &File) -> Option<ImageFormat> {
    let mut buffer = [0u8; 16];
    let length = rustix::fs::fgetxattr(file, FORMAT_ATTRIBUTE, &mut buffer[..]).ok()?;
    [ImageFormat::Raw, ImageFormat::Qcow2].into_iter().find(|f| buffer.get(..length) == Some(f.as_str().as_bytes()))
}

/// An error of the system on a path that came from a plugin, as what it means.
pub(super) fn refuse(error: io::Error, message: &str) -> Failure {
    let of = |kind| Failure::new(kind, message);
    match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::XDEV) => of(Kind::Denied).because(io::Error::other("it leads out of the directory")),
        Some(rustix::io::Errno::LOOP) => {
            of(Kind::Denied).because(io::Error::other("a symbolic link stands in the way")).hint("use the file itself")
        }
        Some(rustix::io::Errno::ISDIR | rustix::io::Errno::NXIO | rustix::io::Errno::NODEV) => {
            of(Kind::Denied).because(io::Error::other("it is not a regular file"))
        }
        Some(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => of(Kind::NotFound).because(error),
        Some(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => of(Kind::Denied).because(error),
        Some(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT) => of(Kind::NoRoom).because(error),
        Some(rustix::io::Errno::FBIG) => {
            of(Kind::NoRoom).because(io::Error::other("the file system holds no file of that size"))
        }
        // A pipe or a device in the place of a file: `beneath::open_file` says which.
        None if error.kind() == io::ErrorKind::InvalidInput => of(Kind::Denied).because(error),
        _ => of(Kind::Other).because(error),
    }
}
