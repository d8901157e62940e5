//! `fief create`: a definition from a file or from options.

use std::path::PathBuf;

use toml::{Table, Value};

use crate::cli::{Context, settings};
use crate::config::domain::{self, DomainDefinition};
use crate::domain::{Record, store};
use crate::error::{Context as _, Failure, Result};
use crate::gate::Mode;
use crate::types::{Bandwidth, ByteSize, DomainName, MacAddress, NetworkName, Spoofing, VolumeRef};

/// Define a domain; `fief start` starts it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  fief create node1 --memory 1GiB --vcpus 2 --disk default/node1 --network lab
  fief create -f node1.toml
  fief show node1 | sed s/node1/node2/ | grep -v -e uuid -e mac | fief create -f -")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pub(super) definition: Definition,
}

/// A definition: a file, or a name and options.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Definition {
    /// Name of the new domain
    #[arg(required_unless_present = "file")]
    name: Option<DomainName>,
    /// Read the definition from a TOML file (- for standard input)
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["name", "memory", "max_memory", "vcpus", "cpu",
        "accelerator", "disk", "cdrom", "network", "kernel", "initrd", "cmdline", "firmware", "graphics",
        "on_poweroff", "on_reboot", "on_crash"])]
    file: Option<PathBuf>,
    /// Memory of the guest, as 512MiB or 2G
    #[arg(long, value_name = "SIZE", default_value = "512MiB")]
    memory: ByteSize,
    /// Memory that it may be given later
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<ByteSize>,
    /// Processors of the guest
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    vcpus: u16,
    /// Processor model, by QEMU's name
    #[arg(long, value_name = "MODEL")]
    cpu: Option<String>,
    /// auto (KVM where it runs a guest), kvm or tcg
    #[arg(long, value_name = "NAME", default_value = "auto")]
    accelerator: String,
    /// A disk, as POOL/VOLUME (may be given several times)
    #[arg(long, value_name = "POOL/VOLUME")]
    disk: Vec<VolumeRef>,
    /// A CD-ROM, as POOL/VOLUME (may be given several times)
    #[arg(long, value_name = "POOL/VOLUME")]
    cdrom: Vec<VolumeRef>,
    /// A card on a network, as NETWORK or NETWORK,mac=…,address=…,bandwidth=100Mbit,spoofing=allowed (several times)
    #[arg(long, value_name = "NETWORK")]
    network: Vec<CardOption>,
    /// Boot this kernel directly
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Its initial ramdisk
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// Its command line
    #[arg(long, value_name = "TEXT")]
    cmdline: Option<String>,
    /// bios or uefi
    #[arg(long, value_name = "NAME", default_value = "bios")]
    firmware: String,
    /// none or vnc
    #[arg(long, value_name = "KIND", default_value = "none")]
    graphics: String,
    /// destroy, restart or preserve
    #[arg(long, value_name = "ACTION", default_value = "destroy")]
    on_poweroff: String,
    /// destroy, restart or preserve
    #[arg(long, value_name = "ACTION", default_value = "restart")]
    on_reboot: String,
    /// destroy, restart or preserve
    #[arg(long, value_name = "ACTION", default_value = "restart")]
    on_crash: String,
}

#[derive(Debug, Clone)]
struct CardOption {
    network: NetworkName,
    mac: Option<MacAddress>,
    address: Option<std::net::Ipv4Addr>,
    bandwidth: Option<Bandwidth>,
    spoofing: Option<Spoofing>,
}

impl std::str::FromStr for CardOption {
    type Err = Failure;
    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split(',');
        let network = parts.next().unwrap_or_default();
        let invalid = |reason: String| Failure::usage(reason);
        let mut card = CardOption {
            network: network.parse().map_err(|error| invalid(format!("{error}")))?,
            mac: None,
            address: None,
            bandwidth: None,
            spoofing: None,
        };
        for part in parts {
            match part.split_once('=') {
                Some(("mac", value)) => card.mac = Some(value.parse().map_err(|error| invalid(format!("{error}")))?),
                Some(("address", value)) => {
                    card.address =
                        Some(value.parse().map_err(|_| invalid(format!("{value:?} is not an IPv4 address")))?);
                }
                Some(("bandwidth", value)) => {
                    card.bandwidth = Some(value.parse().map_err(|error| invalid(format!("{error}")))?);
                }
                Some(("spoofing", "allowed")) => card.spoofing = Some(Spoofing::Allowed),
                Some(("spoofing", "denied")) => card.spoofing = Some(Spoofing::Denied),
                Some(_) | None => {
                    return Err(invalid(format!(
                        "{part:?} is not an option of a card; mac=, address=, bandwidth= and spoofing=allowed are"
                    )));
                }
            }
        }
        Ok(card)
    }
}

impl Definition {
    /// Reads and checks it.
    pub(super) fn load(&self) -> Result<DomainDefinition> {
        let (bytes, source) = match (&self.file, &self.name) {
            (Some(file), _) => settings::read(file)?,
            (None, Some(name)) => (self.as_toml(name).into_bytes(), "the definition from the command line".to_owned()),
            (None, None) => return Err(Failure::usage("neither a name nor a file was given")),
        };
        domain::parse(&bytes, &source, &mut domain::RandomIdentity)
    }

    /// As the file would say it, so that both ways are checked by the same code.
    fn as_toml(&self, name: &DomainName) -> String {
        let mut table = Table::new();
        let mut set = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                table.insert(key.to_owned(), Value::String(value));
            }
        };
        set("name", Some(name.to_string()));
        set("memory", Some(self.memory.to_string()));
        set("max-memory", self.max_memory.map(|size| size.to_string()));
        set("cpu", self.cpu.clone());
        set("accelerator", Some(self.accelerator.clone()));
        set("on-poweroff", Some(self.on_poweroff.clone()));
        set("on-reboot", Some(self.on_reboot.clone()));
        set("on-crash", Some(self.on_crash.clone()));
        table.insert("vcpus".into(), Value::Integer(self.vcpus.into()));
        let mut boot = Table::new();
        let path = |path: &PathBuf| Value::String(absolute(path).display().to_string());
        match &self.kernel {
            Some(kernel) => {
                boot.insert("kernel".into(), path(kernel));
            }
            None => {
                boot.insert("firmware".into(), Value::String(self.firmware.clone()));
            }
        }
        if let Some(initrd) = &self.initrd {
            boot.insert("initrd".into(), path(initrd));
        }
        if let Some(cmdline) = &self.cmdline {
            boot.insert("cmdline".into(), Value::String(cmdline.clone()));
        }
        table.insert("boot".into(), Value::Table(boot));
        let disks = self.disk.iter().map(|volume| (volume, "disk"));
        let disks = disks.chain(self.cdrom.iter().map(|volume| (volume, "cdrom"))).map(|(volume, device)| {
            Value::Table(Table::from_iter([
                ("volume".to_owned(), Value::String(volume.to_string())),
                ("device".to_owned(), Value::String(device.into())),
            ]))
        });
        table.insert("disk".into(), Value::Array(disks.collect()));
        let cards = self.network.iter().map(|card| {
            let mut entry = Table::new();
            entry.insert("network".into(), Value::String(card.network.to_string()));
            if let Some(mac) = card.mac {
                entry.insert("mac".into(), Value::String(mac.to_string()));
            }
            if let Some(address) = card.address {
                entry.insert("address".into(), Value::String(address.to_string()));
            }
            if let Some(bandwidth) = card.bandwidth {
                entry.insert("bandwidth".into(), Value::String(bandwidth.to_string()));
            }
            if card.spoofing == Some(Spoofing::Allowed) {
                entry.insert("spoofing".into(), Value::String("allowed".into()));
            }
            Value::Table(entry)
        });
        table.insert("card".into(), Value::Array(cards.collect()));
        let graphics = Table::from_iter([("kind".to_owned(), Value::String(self.graphics.clone()))]);
        table.insert("graphics".into(), Value::Table(graphics));
        table.to_string()
    }
}

fn absolute(path: &std::path::Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Creates the domain and gives its definition.
pub(super) fn create(context: &Context, definition: &Definition) -> Result<DomainDefinition> {
    let definition = definition.load()?;
    context.prepare()?;
    if context.mode() == Mode::Perform {
        store::create(context.layout(), &definition)?;
    } else if Record::load(context.layout(), &definition.name).is_ok() {
        return Err(Failure::conflict(format!("a domain is called {} already", definition.name)));
    }
    Ok(definition)
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let definition = create(context, &args.definition)?;
    let item = serde_json::to_value(&definition).context(|| "cannot print the definition".to_owned())?;
    context.changed("domain", &definition.name, "created", item)
}
