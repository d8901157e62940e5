//! `fief logs`: what the guest said on its console, or what fief did.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::Context;
use crate::domain::{Record, State, store};
use crate::error::{Context as _, Result};
use crate::types::DomainName;

/// How often a followed file is looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// Print what a guest said on its console
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
    /// Go on as more comes, until the domain is off
    #[arg(short, long)]
    follow: bool,
    /// What the guest said on its console (this is what is shown where nothing else is asked for)
    #[arg(long, conflicts_with_all = ["supervisor", "hypervisor"])]
    console: bool,
    /// What its supervisor did
    #[arg(long, conflicts_with = "hypervisor")]
    supervisor: bool,
    /// What its hypervisor complained of
    #[arg(long)]
    hypervisor: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let (layout, name) = (context.layout(), &args.name);
    let folder = layout.domain(name);
    if !folder.exists() {
        return Err(store::no_such(layout, name));
    }
    let file = match (args.supervisor, args.hypervisor) {
        (true, _) => "supervisor.log",
        (_, true) => "hypervisor.log",
        (false, false) => "console.log",
    };
    let path = folder.join(file);
    let mut older = path.clone().into_os_string();
    older.push(".1");
    let mut tail = Tail { context, open: None };
    tail.print(&PathBuf::from(older))?;
    tail.open = None;
    tail.print(&path)?;
    if !args.follow {
        return Ok(());
    }
    loop {
        // Asked first, so that what was said before the end is printed after it.
        let over = Record::load(layout, name)?.state_now() == State::Off;
        tail.print(&path)?;
        if over {
            return Ok(());
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Prints a file as it grows, and its successor once it is turned.
struct Tail<'a> {
    context: &'a Context,
    open: Option<(File, u64)>,
}

impl Tail<'_> {
    fn print(&mut self, path: &Path) -> Result<()> {
        let saying = || format!("cannot read {}", path.display());
        if let Some((file, _)) = &mut self.open {
            copy(self.context, file).context(saying)?;
        }
        let now = match std::fs::metadata(path) {
            Ok(metadata) => metadata.ino(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).context(saying),
        };
        if self.open.as_ref().is_none_or(|(_, inode)| *inode != now) {
            let mut file = File::open(path).context(saying)?;
            file.seek(SeekFrom::Start(0)).context(saying)?;
            copy(self.context, &mut file).context(saying)?;
            self.open = Some((file, now));
        }
        Ok(())
    }
}

/// On a terminal, what the guest wrote is shown without the sequences that could do something to it.
fn copy(context: &Context, file: &mut File) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let length = file.read(&mut bytes)?;
        if length == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&bytes[..length]);
        let shown: String = text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect();
        context.print(&shown).map_err(std::io::Error::other)?;
    }
}
