//! `fief plugin dev`

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{build, test};
use crate::cli::Context;
use crate::cli::output::failure::{note, report};
use crate::error::Result;
use crate::plugin::project;
use crate::sys::interrupt;

/// How often files are looked at.
const INTERVAL: Duration = Duration::from_millis(300);
/// Files that are looked at: what a project has, and the SDK in it, many times over.
const FILES_MAX: usize = 10_000;

/// Work on a storage plugin: build its project, try it out as fief plugin test does, show what it logged, and again whenever a
/// file of it changes
///
///     fief plugin dev my-disks --settings my-disks/pool.toml --only create-twice
///
/// Nothing of this host is used: what tries it is no hypervisor, and the plugin is installed below a folder that is gone
/// afterwards. It ends with ^C.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The project: a directory with a Cargo.toml or a fief-plugin.toml, as fief plugin new makes it
    #[arg(value_name = "DIRECTORY", default_value = ".")]
    directory: PathBuf,
    /// The definition of a pool or network, with the settings that the plugin gets
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    #[command(flatten)]
    trial: test::Trial,
    /// Once, and end as fief plugin test does
    #[arg(long)]
    once: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    loop {
        let seen = newest(&args.directory, args.settings.as_deref());
        let tried = build::built(context, &args.directory).and_then(|fetched| {
            test::trial(context, &args.trial, args.settings.as_deref(), &fetched, test::Log::Shown)
        });
        if args.once {
            return tried;
        }
        interrupt::watch();
        if let Err(failure) = tried {
            report(&failure, context.format());
        }
        note(&format!("waiting for a change below {}; ^C ends it", args.directory.display()));
        while newest(&args.directory, args.settings.as_deref()) == seen {
            if interrupt::check().is_err() {
                return Ok(());
            }
            std::thread::sleep(INTERVAL);
        }
    }
}

/// Of a project's files, how many there are and when the last of them changed; what is built does not count.
fn newest(directory: &Path, settings: Option<&Path>) -> (usize, Option<SystemTime>) {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|facts| facts.modified()).ok();
    let (mut count, mut newest) = (0, settings.and_then(changed));
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let built = name == "target"
                || name == "node_modules"
                || name == project::BUILT && folder.join(project::FILE).exists();
            let hidden = name.to_string_lossy().starts_with('.') || built;
            // A link that leads round in circles is no folder here.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !hidden => folders.push(entry.path()),
                Ok(kind) if kind.is_file() && !hidden && count < FILES_MAX => {
                    count += 1;
                    newest = newest.max(changed(&entry.path()));
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
    (count, newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_or_comes_is_seen_and_what_is_built_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("pool.toml");
        let (path, settings) = (folder.path(), Some(settings.as_path()));
        std::fs::create_dir_all(path.join("src")).unwrap();
        std::fs::create_dir_all(path.join("target/release")).unwrap();
        std::fs::write(path.join("src/lib.rs"), "a").unwrap();
        let at_first = newest(path, settings);
        std::fs::write(path.join("target/release/x.wasm"), "a").unwrap();
        std::fs::write(path.join(".swp"), "a").unwrap();
        assert_eq!(newest(path, settings), at_first);
        let later = SystemTime::now() + Duration::from_secs(5);
        std::fs::File::options().write(true).open(path.join("src/lib.rs")).unwrap().set_modified(later).unwrap();
        let changed = newest(path, settings);
        assert_ne!(changed, at_first);
        std::fs::write(path.join("src/more.rs"), "b").unwrap();
        assert_ne!(newest(path, settings), changed);
    }
}
