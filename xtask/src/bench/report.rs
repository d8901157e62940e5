//! The pages of figures: what was measured, how, and on what.

use std::fs;

use super::figure::Figure;
use super::{ROUNDS, block, copies, moving, plugins};
use crate::command::{Doing, Result, capture, command};
use crate::place;

pub(super) fn write(name: &str, page: &str) -> Result<()> {
    let file = place::workspace().join("docs").join(name);
    fs::write(&file, page).doing(|| format!("cannot write {}", file.display()))?;
    println!("\n{page}\nwritten to {}", file.display());
    Ok(())
}

/// `docs/PERFORMANCE.md`.
pub(super) fn life(figures: &[Figure]) -> Result<String> {
    Ok(format!(
        "# Performance\n\n\
         Written by `cargo xtask bench` on {date}. Do not edit it: run that command. Volumes that plugins serve have\n\
         [a page of their own](PERFORMANCE-VOLUMES.md).\n\n\
         Each figure is the median of {ROUNDS} rounds; in a round, fief and its peer take turns, on the same machine, with the\n\
         same QEMU and the same small guest (64 MiB, one disk, software emulation). The guest of \"by hand\" has the very\n\
         arguments that fief gives its own. libvirt runs without cgroups, security drivers and its log daemon, which makes it\n\
         quicker than it usually is. Saved states are of a guest with 512 MiB that has filled them; what peers copy is\n\
         synced too, as fief's is; these take {copies} rounds.\n\n\
         {machine}\
         - libvirt {libvirt}\n\n\
         {figures}",
        copies = copies::ROUNDS,
        date = today()?,
        machine = machine()?,
        libvirt = first("virsh", &["--version"])?,
        figures = table(figures),
    ))
}

/// `docs/PERFORMANCE-VOLUMES.md`.
pub(super) fn volumes(measured: &block::Measured) -> Result<String> {
    Ok(format!(
        "# Performance of volumes that plugins serve\n\n\
         Written by `cargo xtask bench block` on {date}. Do not edit it: run that command.\n\n\
         Operations a second, more is better: the median of {rounds} rounds, with the data in memory; in a round, fief and\n\
         its peer take turns, and the figure is the median of the rounds' ratios. Where both sides are NBD servers the\n\
         client is fio; beside a driver of QEMU's it is `qemu-img bench`, which reaches fief's volume by QEMU's NBD driver\n\
         as a guest's QEMU does. Of a native disk it is given the very nodes that fief gave a guest's QEMU. CPU is that of\n\
         client + server for each operation; a driver of QEMU's runs in the client, and the far server of NFS and iSCSI is\n\
         left out on both sides. What bounds the rows that miss their aim is in [decisions](decisions/).\n\n\
         {machine}\n\
         {volumes}",
        rounds = block::ROUNDS,
        date = today()?,
        machine = machine()?,
        volumes = of_volumes(measured),
    ))
}

/// `docs/PERFORMANCE-PLUGINS.md`.
pub(super) fn plugins(figures: &[Figure]) -> Result<String> {
    Ok(format!(
        "# Performance of plugins, for those who write them and those who have many\n\n\
         Written by `cargo xtask bench plugins` on {date}. Do not edit it: run that command. What a call into a plugin costs is on\n\
         [the page of all else](PERFORMANCE.md).\n\n\
         The first line is one run, from an empty directory; the others are medians of {rounds}, or of three where a language is named.\n\n\
         {machine}\n\
         {figures}",
        date = today()?,
        rounds = plugins::ROUNDS,
        machine = machine()?,
        figures = table(figures),
    ))
}

/// `docs/PERFORMANCE-MOVING.md`.
pub(super) fn moves(figures: &[Figure]) -> Result<String> {
    Ok(format!(
        "# Performance of moves\n\n\
         Written by `cargo xtask bench moving` on {date}. Do not edit it: run that command.\n\n\
         Two hosts are network namespaces of one machine, wired to each other. A guest with 512 MiB that it has filled moves\n\
         from one to the other and, in the next round, the other way; its disk is a unit of an iSCSI target that both reach. In a\n\
         round fief and its peers take turns; times are medians of {rounds} rounds, a figure is the median of the rounds' ratios. What\n\
         fief sends is encrypted, what its peers send is not. A time is that of the whole command, from a host on which\n\
         nothing waits for the guest until the old one has nothing of it; by hand, that is a script that starts QEMU there,\n\
         moves, waits, and ends QEMU here, with no bound of bandwidth. The pause is what the guest's serial port tells: from\n\
         its last word on one host to its first on the other; it speaks 500 times a second. The writing guest writes to 32 MB\n\
         of its memory each second. Copies of disks end with a `sync` on the other host. All hosts and servers share\n\
         this machine's processors.\n\n\
         {machine}\
         - libvirt {libvirt}\n\n\
         {figures}",
        date = today()?,
        rounds = moving::ROUNDS,
        machine = machine()?,
        libvirt = first("virsh", &["--version"])?,
        figures = table(figures),
    ))
}

/// Both tables.
pub(super) fn of_volumes(measured: &block::Measured) -> String {
    format!("{}\n{}", block::table(&measured.rows), table(&measured.figures))
}

pub(super) fn table(figures: &[Figure]) -> String {
    let rows: String = figures.iter().map(Figure::row).collect();
    format!("| work | beside | fief | peer | figure | aim | |\n| --- | --- | --: | --: | --: | --: | --- |\n{rows}")
}

fn machine() -> Result<String> {
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches(['\t', ' ', ':']);
    Ok(format!(
        "- machine: {count} × {model}, Linux {kernel}\n- {qemu}\n- {fief}, {rustc}\n",
        count = std::thread::available_parallelism()?,
        kernel = first("uname", &["-r"])?,
        qemu = first("qemu-system-x86_64", &["--version"])?,
        fief = first(&place::fief("release").to_string_lossy(), &["--version"])?,
        rustc = first("rustc", &["--version"])?,
    ))
}

fn today() -> Result<String> {
    first("date", &["--utc", "+%Y-%m-%d"])
}

/// The first line of what a program says.
fn first(program: &str, words: &[&str]) -> Result<String> {
    Ok(capture(&mut command(program, words))?.lines().next().unwrap_or_default().trim().to_owned())
}
