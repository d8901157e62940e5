//! The figures: fief beside QEMU started by hand and libvirt, in the same run, on the same machine.
//!
//! Everything happens in mount and network namespaces of its own (`unshare`), so that the peer's daemon finds empty
//! folders at its places and touches nothing of the machine's.

mod block;
mod copies;
mod fief;
mod figure;
mod hand;
mod languages;
mod libvirt;
mod moving;
mod plugins;
mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::command::{self, Doing, Result, command, is_root, remove_tree};
use crate::setup::{self, Purpose};
use crate::{build, place};
use fief::Fief;
use figure::{Figure, Kind};
use libvirt::Libvirt;

/// Rounds of each pair; the median is told. Odd, so that it is one that was seen.
const ROUNDS: usize = 11;
/// Domains for the listing.
const MANY: usize = 1_000;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything; written to docs/PERFORMANCE.md, but for what [`Part::Block`] is.
    All,
    /// Starts and stops, listings, calls: beside libvirt.
    Life,
    /// Saved memory and copied disks.
    Copies,
    /// Volumes that plugins serve; written to docs/PERFORMANCE-VOLUMES.md.
    Block(block::Volumes),
    /// Domains that move to another host; written to docs/PERFORMANCE-MOVING.md.
    Moving,
    /// Writing plugins and having many; written to docs/PERFORMANCE-PLUGINS.md.
    Plugins,
}

pub(crate) use block::Pace;

impl Part {
    pub(crate) fn parse(word: &str) -> Result<Self> {
        match word {
            "all" => Ok(Part::All),
            "life" => Ok(Part::Life),
            "copies" => Ok(Part::Copies),
            "block" => Ok(Part::Block(block::Volumes::All)),
            "block-file" => Ok(Part::Block(block::Volumes::File)),
            "block-nfs" => Ok(Part::Block(block::Volumes::Nfs)),
            "block-iscsi" => Ok(Part::Block(block::Volumes::Iscsi)),
            "moving" => Ok(Part::Moving),
            "plugins" => Ok(Part::Plugins),
            other => Err(format!(
                "{other:?} is no part of the bench; life, copies, moving, plugins, block, block-file, block-nfs and block-iscsi are"
            )
            .into()),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Part::All => "all",
            Part::Life => "life",
            Part::Copies => "copies",
            Part::Block(block::Volumes::All) => "block",
            Part::Block(block::Volumes::File) => "block-file",
            Part::Block(block::Volumes::Nfs) => "block-nfs",
            Part::Block(block::Volumes::Iscsi) => "block-iscsi",
            Part::Moving => "moving",
            Part::Plugins => "plugins",
        }
    }
}

/// Prepares, then runs [`inside`] in namespaces of its own.
pub(crate) fn run(part: Part, pace: Pace) -> Result<()> {
    if !is_root() {
        return Err("the bench starts libvirt's daemon in namespaces of its own, which needs root".into());
    }
    setup::all(Purpose::Bench)?;
    if part == Part::Plugins {
        setup::other_languages()?;
    }
    println!("Building fief as it is released …");
    // In one go: what is built apart is built with other features of the same dependencies, all of them twice.
    let mut released = command("cargo", ["build", "--quiet", "--release", "--package", "fief", "--bins"]);
    command::run(
        released.args(["--example", "plugin_call", "--example", "card_place"]).current_dir(place::workspace()),
    )?;
    let mut native = command("cargo", ["build", "--quiet", "--release", "--package", "fief-tests"]);
    native.args(["--example", "serve_native", "--example", "bench_moving"]);
    command::run(native.current_dir(place::workspace()))?;
    build::plugins()?;
    if part == Part::Moving {
        return between_hosts(pace);
    }
    let mut unshare = command("unshare", ["--mount", "--net", "--propagation", "private", "--"]);
    unshare.arg(std::env::current_exe()?).args(["bench", "--inside", part.word()]);
    match pace {
        Pace::Full => {}
        Pace::Quick => drop(unshare.arg("--quick")),
    }
    command::run(&mut unshare)
}

/// Its namespaces are the example's own.
fn between_hosts(pace: Pace) -> Result<()> {
    match pace {
        Pace::Quick => print!("{}", report::table(&moving::measure(true)?)),
        Pace::Full => report::write("PERFORMANCE-MOVING.md", &report::moves(&moving::measure(false)?)?)?,
    }
    Ok(())
}

pub(crate) fn inside(part: Part, pace: Pace) -> Result<()> {
    let root = place::target().join("bench");
    remove_tree(&root)?;
    fs::create_dir_all(&root).doing(|| format!("cannot make {}", root.display()))?;
    command::quietly(&mut command("ip", ["link", "set", "lo", "up"]))?;
    let fief = Fief::prepare(&root)?;
    let measured = parts(part, pace, &fief, &root);
    fief.clear();
    let (figures, volumes) = measured?;
    block::unmount(&root)?;
    remove_tree(&root)?;
    if pace == Pace::Quick {
        print!("{}{}", report::table(&figures), report::of_volumes(&volumes));
        return Ok(());
    }
    match part {
        Part::All => {
            report::write("PERFORMANCE.md", &report::life(&figures)?)?;
            report::write("PERFORMANCE-VOLUMES.md", &report::volumes(&volumes)?)
        }
        Part::Plugins => report::write("PERFORMANCE-PLUGINS.md", &report::plugins(&figures)?),
        Part::Block(block::Volumes::All) => report::write("PERFORMANCE-VOLUMES.md", &report::volumes(&volumes)?),
        Part::Life
        | Part::Copies
        | Part::Moving
        | Part::Block(block::Volumes::File | block::Volumes::Nfs | block::Volumes::Iscsi) => {
            print!("{}{}", report::table(&figures), report::of_volumes(&volumes));
            Ok(())
        }
    }
}

/// What part measured: figures of single works, and those of volumes.
fn parts(part: Part, pace: Pace, fief: &Fief, root: &Path) -> Result<(Vec<Figure>, block::Measured)> {
    let (mut figures, mut volumes) = (Vec::new(), block::Measured::default());
    if matches!(part, Part::All | Part::Life) {
        figures.extend(life(fief, root)?);
    }
    if matches!(part, Part::All | Part::Copies) {
        figures.extend(copies::measure(fief, root)?);
    }
    match part {
        Part::All => volumes = block::measure(fief, root, block::Volumes::All, pace)?,
        Part::Block(which) => volumes = block::measure(fief, root, which, pace)?,
        Part::Plugins => {
            figures = plugins::measure(fief, root)?;
            figures.extend(languages::measure(fief, root)?);
        }
        Part::Life | Part::Copies | Part::Moving => {}
    }
    Ok((figures, volumes))
}

fn life(fief: &Fief, root: &Path) -> Result<Vec<Figure>> {
    let libvirt = Libvirt::start(root)?;
    let measured = measure(fief, &libvirt, root);
    libvirt.end()?;
    measured
}

fn measure(fief: &Fief, libvirt: &Libvirt, root: &Path) -> Result<Vec<Figure>> {
    // The same guest for all three; the one by hand gets the very arguments that fief's has.
    let sector = root.join("sector.img");
    fs::write(&sector, [])?;
    fs::File::options().write(true).open(&sector)?.set_len(1 << 20)?;
    fief.define_guest("bench")?;
    libvirt.define_guest("bench", &sector)?;
    fief.start("bench")?;
    let by_hand = hand::Hand::like(fief.hypervisor()?, &sector, root)?;
    let supervisor = fief.supervisor_memory()?;
    fief.stop("bench")?;

    let mut times = Times::default();
    for round in 1..=ROUNDS {
        println!("round {round} of {ROUNDS}: start and stop");
        times.fief_start.push(timed(|| fief.start("bench"))?);
        times.fief_stop.push(timed(|| fief.stop("bench"))?);
        times.hand_start.push(timed(|| by_hand.start())?);
        by_hand.stop()?;
        times.virsh_start.push(timed(|| libvirt.virsh(&["start", "bench"]))?);
        times.virsh_stop.push(timed(|| libvirt.virsh(&["destroy", "bench"]))?);
    }
    println!("defining {MANY} domains");
    fief.define_many(MANY)?;
    libvirt.define_many(MANY, &sector, root)?;
    for _ in 0..ROUNDS {
        times.fief_list.push(timed(|| fief.quietly(&["list"]))?);
        times.virsh_list.push(timed(|| libvirt.virsh(&["list", "--all"]))?);
        times.fief_show.push(timed(|| fief.quietly(&["show", "bench"]))?);
        times.virsh_show.push(timed(|| libvirt.virsh(&["dominfo", "bench"]))?);
    }
    let mut calls = fief.plugin_calls()?;
    calls.extend(fief.card_places()?);
    let of = |name: &str| calls.get(name).copied().ok_or_else(|| format!("the benches of calls did not say {name}"));
    let micros = |name: &str| of(name).map(Duration::from_micros);
    let (start, hand) = (median(&times.fief_start), median(&times.hand_start));
    Ok(vec![
        Figure::new(
            "`fief start` until the guest is let go",
            "the same QEMU by hand",
            start,
            hand,
            Kind::AtMostMore(ms(60)),
        ),
        Figure::new("the same", "`virsh start`", start, median(&times.virsh_start), Kind::Ratio(0.3)),
        Figure::new(
            "`fief stop`",
            "`virsh destroy`",
            median(&times.fief_stop),
            median(&times.virsh_stop),
            Kind::Ratio(0.1),
        ),
        Figure::new(
            "`fief list`, 1,000 domains",
            "`virsh list --all`",
            median(&times.fief_list),
            median(&times.virsh_list),
            Kind::Ratio(0.25),
        ),
        Figure::new(
            "`fief show`",
            "`virsh dominfo`",
            median(&times.fief_show),
            median(&times.virsh_show),
            Kind::Ratio(1.0),
        ),
        Figure::new(
            "a card's place: tap, filter, bridge",
            "`ip` and `nft` by hand",
            micros("tap-us")?,
            micros("hand-us")?,
            Kind::Ratio(1.0),
        ),
        Figure::new(
            "the same, its network's plugin asked first",
            "the same",
            micros("plug-us")?,
            micros("hand-us")?,
            Kind::Ratio(1.0),
        ),
        Figure::alone("control call into a plugin, process cold", micros("cold-us")?, ms(30)),
        Figure::alone("control call into a plugin, warm", micros("warm-us")?, Duration::from_micros(200)),
        Figure::memory("resident memory of a supervisor", supervisor, 15 * 1024),
        Figure::memory("resident memory of a sandbox with an idle plugin", of("sandbox-rss-kib")?, 25 * 1024),
    ])
}

#[derive(Default)]
struct Times {
    fief_start: Vec<Duration>,
    fief_stop: Vec<Duration>,
    hand_start: Vec<Duration>,
    virsh_start: Vec<Duration>,
    virsh_stop: Vec<Duration>,
    fief_list: Vec<Duration>,
    virsh_list: Vec<Duration>,
    fief_show: Vec<Duration>,
    virsh_show: Vec<Duration>,
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn timed(act: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let started = Instant::now();
    act()?;
    Ok(started.elapsed())
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// A process of ours that names `part` among its words.
fn process_with(part: &str, root: &Path) -> Result<u32> {
    let root = root.to_string_lossy();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let words = fs::read(PathBuf::from("/proc").join(&name).join("cmdline")).unwrap_or_default();
        let environment = fs::read(PathBuf::from("/proc").join(&name).join("environ")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        let ours = words.contains(&*root) || String::from_utf8_lossy(&environment).contains(&*root);
        if ours && words.contains(part) && pid != std::process::id() {
            return Ok(pid);
        }
    }
    Err(format!("there is no process with {part:?}").into())
}
