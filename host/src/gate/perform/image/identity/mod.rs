//! What makes a system in an image one machine and no other, taken out of a copy of it: machine-id, host name, ssh host
//! keys. By e2fsprogs, for ext4: the host's kernel never sees a file system that a guest wrote, and the tools run as the
//! plugin's user with open files only.
//!
//! A qcow2 image is laid out flat for them, beside it and without a name, and written back.

mod keys;
mod partitions;

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{MemfdFlags, Mode, OFlags};

use super::open::{self, Layer};
use super::place::Place;
use super::{Done, Outcome, tool};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::Gate;
use crate::gate::operation::ImageFormat;
use crate::sys::beneath;
use crate::sys::confined::Confined;
use crate::types::{ByteSize, DomainName};
use partitions::Content;

const E2FSCK: &str = "/sbin/e2fsck";
const DEBUGFS: &str = "/sbin/debugfs";
/// A check of a file system reads its tables, and replays its journal.
const CHECK_WITHIN: Duration = Duration::from_secs(300);
const EDIT_WITHIN: Duration = Duration::from_secs(60);
/// Longest file that is looked at, in bytes.
const FILE_MAX: u64 = 64 << 10;
/// Exit codes of e2fsck(8) from here on mean that something was not mended.
const UNMENDED: i32 = 4;

/// Looks whether the image holds what [`reset`] can work on.
pub(super) fn inspect(gate: &Gate, place: Place) -> Result<Done> {
    for tool in [E2FSCK, DEBUGFS] {
        if !Path::new(tool).exists() {
            return Err(Failure::new(
                Kind::Findings,
                format!("there is no {tool}, which takes identities out of images"),
            )
            .hint("install it (apt install e2fsprogs)"));
        }
    }
    keys::must_be_there()?;
    let layers = open::chain(place, None, false)?;
    let size = layers[0].facts()?.virtual_size.bytes();
    let found = match layers.as_slice() {
        [raw] if raw.format == ImageFormat::Raw => {
            partitions::contents(size, &mut |at, length| read(&raw.file, at, length))
        }
        _ => partitions::contents(size, &mut |at, length| slice(gate, &layers, at, length)),
    };
    let found = found.context(|| format!("cannot read the image {}", layers[0].place.path))?;
    has_ext(&layers[0], &found)?;
    Ok(Done { outcome: Outcome::Unchanged, descriptors: Vec::new() })
}

fn has_ext(layer: &Layer, found: &[(u64, Content)]) -> Result<()> {
    if found.iter().any(|(_, content)| *content == Content::Ext) {
        return Ok(());
    }
    let holds = match found {
        [] => "no file system that fief knows".to_owned(),
        some => some.iter().map(|(_, content)| content.word()).collect::<Vec<_>>().join(", "),
    };
    Err(Failure::new(Kind::Findings, format!("the identity in the image {} cannot be reset", layer.place.path))
        .because(io::Error::other(format!("it holds {holds}; this is done in ext4")))
        .hint("clone it without --reset-identity; `virt-sysprep` (guestfs-tools) knows more file systems"))
}

/// # Errors
/// `Findings` where no file system in it has a system's files, or one is damaged.
pub(super) fn reset(gate: &Gate, place: Place, name: &DomainName) -> Result<Done> {
    let layers = open::chain(place, None, true)?;
    let [layer] = layers.as_slice() else {
        return Err(Failure::new(Kind::Findings, format!("the image {} stands on another", layers[0].place.path))
            .hint("make a full clone, without --linked"));
    };
    let saying = || format!("cannot reset the identity in the image {}", layer.place.path);
    match layer.format {
        ImageFormat::Raw => edit(&layer.place, layer, &layer.file, name)?,
        ImageFormat::Qcow2 => {
            let flat = flat(&layer.place).context(saying)?;
            let size = layer.facts()?.virtual_size;
            let mut lay = tool::qemu_img(gate, layer.place.owner, size);
            lay.argument("convert").argument("-q").argument("-O").argument("raw");
            let from = tool::hand(&mut lay, &layers, false)?;
            let to = lay.hand(&flat).context(saying)?;
            lay.argument(from).argument(to);
            tool::run(gate, lay, &saying())?;
            edit(&layer.place, layer, &flat, name)?;
            let mut back = tool::qemu_img(gate, layer.place.owner, size);
            back.argument("convert").argument("-q").argument("-n").argument("-f").argument("raw");
            let from = back.hand(&flat).context(saying)?;
            layer.place.hand_over(&layer.file, true)?;
            let to = back.hand(&layer.file).context(saying)?;
            back.argument("-O").argument("qcow2").argument(from).argument(to);
            tool::run(gate, back, &saying())?;
        }
    }
    layer.file.sync_all().context(saying)?;
    Ok(Done { outcome: Outcome::Set, descriptors: Vec::new() })
}

/// A file without a name in the image's folder, where there is room for its like.
fn flat(place: &Place) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::TMPFILE;
    let file = beneath::open(&place.folder, ".", flags, Mode::from_raw_mode(0o600)).map(File::from)?;
    place.own(&file)?;
    Ok(file)
}

fn edit(place: &Place, layer: &Layer, disk: &File, name: &DomainName) -> Result<()> {
    let saying = || format!("cannot read the image {}", place.path);
    let size = disk.metadata().context(saying)?.len();
    let found = partitions::contents(size, &mut |at, length| read(disk, at, length)).context(saying)?;
    has_ext(layer, &found)?;
    let mut systems = 0;
    for (offset, _) in found.iter().filter(|(_, content)| *content == Content::Ext) {
        systems += usize::from(FileSystem { place, disk, offset: *offset }.reset(name)?);
    }
    match systems {
        0 => Err(Failure::new(Kind::Findings, format!("no file system in the image {} has /etc/hostname", place.path))
            .hint("clone it without --reset-identity")),
        _ => Ok(()),
    }
}

struct FileSystem<'a> {
    place: &'a Place,
    disk: &'a File,
    offset: u64,
}

impl FileSystem<'_> {
    /// Whether it is that of a system, which then has no identity of its own but a name.
    fn reset(&self, name: &DomainName) -> Result<bool> {
        // A copy of a running domain is as after a pulled plug: its journal first.
        self.check("-p")?;
        if self.file("etc/hostname")?.is_none() {
            return Ok(false);
        }
        let mut put: Vec<(String, Vec<u8>, u32)> =
            vec![("etc/hostname".into(), format!("{name}\n").into_bytes(), 0o644)];
        // Empty, systemd makes a new one at the next start (machine-id(5)).
        if self.file("etc/machine-id")?.is_some() {
            put.push(("etc/machine-id".into(), Vec::new(), 0o444));
        }
        for kind in keys::KINDS {
            let path = format!("etc/ssh/ssh_host_{kind}_key");
            if self.file(&path)?.is_some() {
                let (private, public) = keys::make(kind, name)?;
                put.push((format!("{path}.pub"), public, 0o644));
                put.push((path, private, 0o600));
            }
        }
        self.put(&put)?;
        self.check("-fn")?;
        for (path, wanted, _) in &put {
            if self.file(path)?.as_ref() != Some(wanted) {
                return Err(Failure::other(format!("{DEBUGFS} did not write {path} in the image {}", self.place.path)));
            }
        }
        Ok(true)
    }

    fn tool(&self, program: &str, limit: Duration) -> Result<(Confined, String)> {
        let mut tool = Confined::new(Path::new(program), limit);
        tool.user(self.place.owner);
        self.place.hand_over(self.disk, true)?;
        let name = tool.hand(self.disk).context(|| "cannot copy a descriptor".into())?;
        Ok((tool, format!("{name}?offset={}", self.offset)))
    }

    fn check(&self, how: &str) -> Result<()> {
        let (mut tool, device) = self.tool(E2FSCK, CHECK_WITHIN)?;
        tool.argument(how).argument(device);
        let finished = tool.run().context(|| format!("cannot run {E2FSCK}"))?;
        match finished.status.and_then(|status| status.code()) {
            Some(code) if code < UNMENDED => Ok(()),
            Some(_) | None => Err(Failure::new(
                Kind::Findings,
                format!("the file system at byte {} of the image {} is damaged", self.offset, self.place.path),
            )
            .because(io::Error::other(printable(&finished.words)))
            .hint("repair it from within the guest, or clone it without --reset-identity")),
        }
    }

    /// What a file holds; none where there is none. A link is not followed: what it leads to is another's.
    fn file(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let saying = || format!("cannot read {path} in the image {}", self.place.path);
        let mut out = memory(b"").context(saying)?;
        let (mut tool, device) = self.tool(DEBUGFS, EDIT_WITHIN)?;
        let to = tool.hand(&out).context(saying)?;
        tool.argument("-R").argument(format!("dump {path} {to}")).argument(device);
        let finished = tool.run().context(saying)?;
        if finished.words.contains("File not found") || finished.words.contains("Not a regular file") {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        out.rewind().and_then(|()| (&out).take(FILE_MAX).read_to_end(&mut bytes)).context(saying)?;
        Ok(Some(bytes))
    }

    fn put(&self, files: &[(String, Vec<u8>, u32)]) -> Result<()> {
        let saying = || format!("cannot write into the image {}", self.place.path);
        let (mut tool, device) = self.tool(DEBUGFS, EDIT_WITHIN)?;
        let mut commands = String::new();
        let mut contents = Vec::new();
        for (path, bytes, mode) in files {
            let content = memory(bytes).context(saying)?;
            let name = tool.hand(&content).context(saying)?;
            contents.push(content);
            commands += &format!("rm {path}\nwrite {name} {path}\nsif {path} mode 0100{mode:o}\n");
            commands += &format!("sif {path} uid 0\nsif {path} gid 0\n");
        }
        let script = memory(commands.as_bytes()).context(saying)?;
        let script = tool.hand(&script).context(saying)?;
        tool.argument("-w").argument("-f").argument(script).argument(device);
        let finished = tool.run().context(saying)?;
        match finished.status {
            Some(status) if status.success() => Ok(()),
            Some(_) | None => Err(Failure::other(saying()).because(io::Error::other(printable(&finished.words)))),
        }
    }
}

/// A file in memory, for a tool to find by its descriptor.
fn memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("fief-identity", MemfdFlags::CLOEXEC)?);
    // Nobody finds it but who was handed it, and the tool opens it as another user.
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o666))?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

fn read(file: &File, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// A piece of what a guest sees in a chain, by `qemu-img`. The image may be open in a hypervisor.
fn slice(gate: &Gate, layers: &[Layer], at: u64, length: usize) -> io::Result<Vec<u8>> {
    let failed = |failure: Failure| io::Error::other(failure.to_string());
    let mut out = memory(b"")?;
    let mut run = tool::qemu_img(gate, layers[0].place.owner, ByteSize::from_bytes(length as u64));
    run.argument("convert").argument("-q").argument("-U").argument("-O").argument("raw");
    let whole = tool::hand(&mut run, layers, false).map_err(failed)?;
    let whole = whole.strip_prefix("json:").unwrap_or(&whole);
    let to = run.hand(&out)?;
    let piece = format!("json:{{\"driver\":\"raw\",\"offset\":{at},\"size\":{length},\"file\":{whole}}}");
    run.argument(piece).argument(to);
    tool::run(gate, run, "cannot read a piece of the image").map_err(failed)?;
    let mut bytes = Vec::new();
    out.rewind()?;
    (&out).take(length as u64).read_to_end(&mut bytes)?;
    bytes.resize(length, 0);
    Ok(bytes)
}

/// A tool's words may hold an image's own.
fn printable(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
