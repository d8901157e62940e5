//! Compiled components: made in a sandbox, kept where only the owner of the root can write, mapped by sandboxes.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::config::policy::Limits;
use crate::error::{Context, Failure, Kind, Result};
use crate::layout::Layout;
use crate::plugin::component::PLUGIN_MAX;
use crate::plugin::failure;
use crate::plugin::pending::{self, Pending};
use crate::plugin::process::Process;
use crate::sandbox::protocol::{ENGINE_SETTINGS, FromSandbox, ToSandbox};
use crate::types::Digest;

/// Grows with each change of what a plugin is tried with before it is installed (`conformance/brief.rs`): it is part of the
/// name of a note.
const TRIAL: u32 = 1;
/// How long a compilation may take by the clock on the wall; the sandbox bounds its processor time besides.
const COMPILE_WAIT: Duration = Duration::from_secs(300);
/// Readable, so that the sandbox's own user can map the descriptor that it is handed; the folder (0700) keeps
/// everybody else out, and nobody writes a compiled component in place.
const MODE: u32 = 0o444;

/// The compiled form of the component with that digest; made now if it is absent, or if `anew`.
///
/// # Errors
/// `PluginFault` where it does not compile, `Denied` where the stored bytes or the cache are not as they must be.
pub(super) fn open(layout: &Layout, digest: Digest, uid: Option<u32>, anew: bool) -> Result<File> {
    let path = path(layout, digest);
    if !anew {
        match File::open(&path) {
            Ok(file) => return trusted(layout, &path, file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context(|| format!("cannot open {}", path.display())),
        }
    }
    compile(layout, digest, uid)?;
    let file = File::open(&path).context(|| format!("cannot open {}", path.display()))?;
    trusted(layout, &path, file)
}

/// The engine's part of the name holds what is known without running the engine here. The engine itself checks its
/// version, its settings and the processor when it loads the file; what it refuses is compiled anew.
fn path(layout: &Layout, digest: Digest) -> PathBuf {
    let engine = format!("{}-{}-{ENGINE_SETTINGS}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    layout.cache().join(format!("{}-{engine}.cwasm", digest.hex()))
}

/// Beside the compiled form: that this version of fief has tried these bytes, and they passed.
fn note(layout: &Layout, digest: Digest) -> PathBuf {
    path(layout, digest).with_extension(format!("tried-{TRIAL}"))
}

/// Whether it was tried already on this host, by this version of fief.
pub fn was_tried(layout: &Layout, digest: Digest) -> bool {
    let path = note(layout, digest);
    File::open(&path).is_ok_and(|file| trusted(layout, &path, file).is_ok())
}

/// Remembers that it passed.
///
/// # Errors
/// Where that cannot be written.
pub fn note_tried(layout: &Layout, digest: Digest) -> Result<()> {
    pending::folder(&layout.cache())?;
    Pending::begin(&note(layout, digest))?.commit(MODE)
}

/// Gives another root of ours the compiled form, where this one has it: to compile takes a second or more.
///
/// # Errors
/// As for whoever loads it.
pub fn lend(from: &Layout, to: &Layout, digest: Digest) -> Result<()> {
    let source = path(from, digest);
    let Ok(file) = File::open(&source) else { return Ok(()) };
    let mut file = trusted(from, &source, file)?;
    pending::folder(&to.cache())?;
    let mut lent = Pending::begin(&path(to, digest))?;
    std::io::copy(&mut file, &mut lent.file).context(|| format!("cannot lend {}", source.display()))?;
    lent.commit(MODE)
}

/// Removes what is compiled of a digest that no plugin has any more.
pub(super) fn forget(layout: &Layout, digest: Digest) -> Result<()> {
    for path in [path(layout, digest), note(layout, digest)] {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Machine code is loaded from a plain file of ours that nobody else can write, in a folder of the same kind.
fn trusted(layout: &Layout, path: &std::path::Path, file: File) -> Result<File> {
    let saying = || format!("cannot look at {}", path.display());
    let own = rustix::process::geteuid().as_raw();
    let folder = std::fs::symlink_metadata(layout.cache()).context(saying)?;
    let facts = file.metadata().context(saying)?;
    let private = |facts: &std::fs::Metadata| facts.uid() == own && facts.mode() & 0o022 == 0;
    if folder.is_dir() && facts.is_file() && private(&folder) && private(&facts) {
        return Ok(file);
    }
    Err(Failure::denied(format!("the compiled plugin {} could have been written by others", path.display()))
        .hint(format!("remove the folder {}; fief makes it again", layout.cache().display())))
}

/// The stored component, as a file at its beginning and as the bytes that were looked at.
///
/// # Errors
/// `Denied` where the stored bytes are no longer those that were installed.
pub(super) fn stored(layout: &Layout, digest: Digest) -> Result<(File, Vec<u8>)> {
    let path = layout.store(digest);
    let saying = || format!("cannot read the stored plugin {}", path.display());
    let mut file = File::open(&path).context(saying)?;
    let mut bytes = Vec::new();
    (&file).take(PLUGIN_MAX as u64 + 1).read_to_end(&mut bytes).context(saying)?;
    if Digest::of(&bytes) != digest {
        return Err(Failure::denied(format!(
            "the stored plugin {} was changed after its installation",
            path.display()
        ))
        .hint("install the plugin again"));
    }
    file.rewind().context(saying)?;
    Ok((file, bytes))
}

fn compile(layout: &Layout, digest: Digest, uid: Option<u32>) -> Result<()> {
    let (source, _) = stored(layout, digest)?;
    pending::folder(&layout.cache())?;
    let target = Pending::begin(&path(layout, digest))?;
    let mut sandbox = Process::start(uid)?;
    let frame = ToSandbox::Compile { limits: Limits::default() };
    sandbox.send(&frame, &[source.as_fd(), target.file.as_fd()])?;
    match sandbox.receive(Instant::now() + COMPILE_WAIT)? {
        FromSandbox::Compiled => {}
        FromSandbox::Return(Err(error)) => {
            return Err(failure::of_load(&error).while_doing("the plugin does not compile"));
        }
        FromSandbox::Ready { .. }
        | FromSandbox::Ask(_)
        | FromSandbox::AskAs(..)
        | FromSandbox::Serving(_)
        | FromSandbox::Event(_)
        | FromSandbox::Log { .. }
        | FromSandbox::Return(Ok(_)) => {
            return Err(Failure::new(Kind::PluginFault, "the compiling sandbox sent an unexpected frame"));
        }
    }
    // Gone before the file gets its name: nothing can write to it afterwards.
    sandbox.end();
    target.commit(MODE)
}
