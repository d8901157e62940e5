//! `fief import`: a guest of Xen, libvirt or VMware becomes a domain.

use std::path::PathBuf;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::output::progress::Progress;
use crate::cli::output::{Format, Shown, text};
use crate::config::domain;
use crate::domain::import::{Asked, Package, Plan};
use crate::error::{Context as _, Result};
use crate::gate::Mode;
use crate::import::translate::DiskChoice;
use crate::types::{ByteSize, DomainName, NetworkName, PoolName};

/// Define a domain from a guest file of Xen, a libvirt XML, an OVF or an OVA, and copy its disks into a pool
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  fief --dry-run import /etc/xen/node1.cfg        # what would carry over, and the definition
  fief import /etc/xen/node1.cfg --network xenbr0=lan
  fief import node1.cfg --disk xvda=/mnt/old/node1.img --disk xvdb=none
  virsh dumpxml node1 | fief import - --network default=lan
  fief import node1.ova --pool fast --network \"VM Network\"=lan

Each line of the report says what became of a line of the file: taken, changed, left out, or what is to do in the
guest. Nothing is changed until all of it was checked, and a failed import leaves nothing.")]
pub(in crate::cli) struct Args {
    /// The file (- for standard input)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The domain's name, and its volumes'; else the file's
    #[arg(long)]
    name: Option<DomainName>,
    /// The pool that disks are copied to; else the only one, or `default`
    #[arg(long)]
    pool: Option<PoolName>,
    /// For a disk, by its name in the file: a volume that is there, a file to copy, or none (may be given several times)
    #[arg(long, value_name = "DISK=POOL/VOLUME|/PATH|none")]
    disk: Vec<Named<Disk>>,
    /// The network in place of a bridge or network of the file (may be given several times)
    #[arg(long, value_name = "BRIDGE=NETWORK")]
    network: Vec<Named<NetworkName>>,
    /// Copy nothing: the volumes are there already, under the names that they would get
    #[arg(long)]
    no_copy: bool,
    /// Boot this kernel directly, as a guest of Xen without a boot loader has to
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Its initial ramdisk
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// Its command line; else that of the file, with this machine's names
    #[arg(long, value_name = "TEXT")]
    cmdline: Option<String>,
}

/// `NAME=VALUE`, the name with any character in it.
#[derive(Debug, Clone)]
struct Named<T>(String, T);

impl<T: FromStr<Err: std::fmt::Display>> FromStr for Named<T> {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("it is written as NAME=VALUE")?;
        Ok(Named(name.to_owned(), value.parse().map_err(|error| format!("{error}"))?))
    }
}

#[derive(Debug, Clone)]
struct Disk(DiskChoice);

impl FromStr for Disk {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "none" => Ok(Disk(DiskChoice::None)),
            path if path.starts_with('/') => Ok(Disk(DiskChoice::File(PathBuf::from(path)))),
            volume => volume
                .parse()
                .map(|volume| Disk(DiskChoice::Volume(volume)))
                .map_err(|error| format!("{error}; a file by its whole path; or none")),
        }
    }
}

impl Args {
    fn asked(&self) -> Result<Asked> {
        let absolute = |path: &PathBuf| std::path::absolute(path).context(|| format!("{} is no path", path.display()));
        Ok(Asked {
            name: self.name.clone(),
            pool: self.pool.clone(),
            disks: self.disk.iter().map(|Named(name, disk)| (name.clone(), disk.0.clone())).collect(),
            networks: self.network.iter().map(|Named(name, network)| (name.clone(), network.clone())).collect(),
            no_copy: self.no_copy,
            kernel: self.kernel.as_ref().map(absolute).transpose()?,
            initrd: self.initrd.as_ref().map(absolute).transpose()?,
            cmdline: self.cmdline.clone(),
        })
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let plan = Plan::new(&gate, Package::read(&args.file, &[])?, &args.asked()?)?;
    if context.mode() == Mode::DryRun {
        return show(context, &plan);
    }
    if matches!(context.format(), Format::Table | Format::Wide) {
        context.print(&report(&plan, ""))?;
    }
    let mut progress = None;
    let done = plan.perform(&gate, |import| {
        // The one before it is over; two at once would write over each other.
        progress.take();
        progress = Some(Progress::start(format!("copying {} to {}", import.source.path.display(), import.volume)));
    });
    drop(progress);
    done?;
    context.changed("domain", &plan.definition.name, "imported", item(&plan)?)
}

/// A dry run prints what `fief create -f -` takes, with the report in comments.
fn show(context: &Context, plan: &Plan) -> Result<()> {
    let mut text = report(plan, "# ");
    for (import, volume) in plan.copies() {
        let from = text::printable(&import.source.path.display().to_string()).into_owned();
        let (format, size) = (import.facts.format.as_str(), import.facts.virtual_size.human());
        text += &format!("# would copy {from} to {volume}: {format}, {size}\n");
    }
    text += &domain::to_toml(&plan.definition);
    context.show(&Shown { kind: "import", name: plan.definition.name.to_string(), json: item(plan)?, text })
}

/// One line of the report each, after `before`.
fn report(plan: &Plan, before: &str) -> String {
    plan.report.lines(&plan.source).iter().map(|line| format!("{before}{line}\n")).collect()
}

fn item(plan: &Plan) -> Result<Value> {
    let definition = serde_json::to_value(&plan.definition).context(|| "cannot print the definition".to_owned())?;
    let remarks: Vec<Value> = plan
        .report
        .remarks()
        .iter()
        .map(|remark| {
            let line = (remark.line > 0).then_some(remark.line);
            json!({ "line": line, "key": remark.key, "result": remark.sort.as_str().replace(' ', "-"), "text": remark.text })
        })
        .collect();
    let size = |size: ByteSize| size.bytes();
    let copies: Vec<Value> = plan
        .copies()
        .map(|(import, volume)| {
            json!({
                "path": import.source.path,
                "source-format": import.source.format,
                "volume": volume,
                "format": import.facts.format,
                "size": size(import.facts.virtual_size),
            })
        })
        .collect();
    Ok(json!({ "name": plan.definition.name, "definition": definition, "report": remarks, "copies": copies }))
}
