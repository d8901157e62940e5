//! Disks: a chain of block nodes for each, and the device that shows it to the guest.
//!
//! The top node of the disk in place *n* is `disk<n>`; events name it, and `disk_of_node` reads it back.

use serde_json::{Value, json};

use super::{BootOrder, DiskPlan, FIRST_DISKS, List, MORE_SATA, Plan, WayPlan, file_nodes, place, port_of, slot};
use crate::config::domain::{BootDevice, Disk, DiskDevice, OnStorageError};
use crate::error::{Failure, Result};
use crate::gate::operation::ImageFormat;
use crate::hypervisor::places::{FIXED, in_port};
use crate::storage::{IscsiDisk, NbdDisk, NfsDisk, Served};

/// SATA ports of one controller.
const PORTS: usize = 6;
/// Controllers beside the chipset's own.
const MORE_CONTROLLERS: usize = 6;
/// `VIRTIO_BLK_ID_BYTES` (virtio 1.2, 5.2.6); ATA has as many.
const SERIAL_MAX: usize = 20;

pub(super) fn add(list: &mut List, plan: &Plan<'_>, order: &mut BootOrder) -> Result<()> {
    let (disks, places) = (&plan.definition.disks, plan.places);
    if disks.len() != plan.disks.len() {
        return Err(Failure::other("the domain's disks and their images are not of the same number"));
    }
    let on_virtio = disks.iter().filter(|disk| in_port(disk.device, disk.bus)).count();
    let mut controllers = 0;
    for (index, (disk, source)) in disks.iter().zip(&plan.disks).enumerate() {
        let seat = places.disk(&disk.volume)?;
        if let WayPlan::Files(chain) = &source.way {
            for (_, descriptor) in chain {
                list.descriptor(*descriptor, &node(seat));
            }
        }
        if let Some(descriptor) = source.secret {
            list.json("-object", secret(&node(seat), json!({"file": format!("/proc/self/fd/{descriptor}")})));
        }
        for node in nodes(seat, source)? {
            list.json("-blockdev", node);
        }
        let mut device = device(seat, disk, source, plan.definition.on_storage_error).map_err(|failure| {
            failure.while_doing(format!("disk {} of {} cannot be had", index + 1, plan.definition.name))
        })?;
        let class = match disk.device {
            DiskDevice::Disk => BootDevice::Disk,
            DiskDevice::Cdrom => BootDevice::Cdrom,
        };
        if let Some(boot) = order.index(class, index) {
            device["bootindex"] = boot.into();
        }
        if seat >= FIXED {
            device["bus"] = sata_port(list, seat - FIXED, &mut controllers)?.into();
        } else if places.hardware < 2 {
            place(&mut device, "virtio disks", FIRST_DISKS, seat, on_virtio)?;
        } else {
            device["bus"] = port_of(seat, places.disk_ports, "virtio disks", port)?.into();
        }
        list.json("-device", device);
    }
    for seat in &places.drives {
        let mut device = json!({"driver": "ide-cd", "id": device_id(*seat)});
        device["bus"] = sata_port(list, seat.saturating_sub(FIXED), &mut controllers)?.into();
        list.json("-device", device);
    }
    Ok(())
}

/// How long requests wait for a server that is gone, in seconds, before they fail: a serving sandbox that ended is
/// replaced within one. Then `on-storage-error` says what follows.
const RECONNECT_SECONDS: u32 = 60;
/// How long a machine waits at its start for a server to greet it, in seconds.
const OPEN_SECONDS: u32 = 30;
/// How long a command to an iSCSI target may take before it is sent again, in seconds.
const ISCSI_SECONDS: u32 = 30;

/// The block nodes of a disk, from the lowest up: a node is named by the one above it.
pub(in crate::hypervisor::qemu) fn nodes(seat: usize, plan: &DiskPlan) -> Result<Vec<Value>> {
    match &plan.way {
        WayPlan::Files(chain) => Ok(chain_nodes(seat, chain, plan.read_only)),
        WayPlan::Nfs(disk) => Ok(over(seat, nfs(disk), disk.format, plan.read_only)),
        WayPlan::Iscsi(disk) => Ok(over(seat, iscsi(seat, disk)?, ImageFormat::Raw, plan.read_only)),
        WayPlan::Nbd(disk) => Ok(over(seat, nbd(disk), ImageFormat::Raw, plan.read_only)),
        WayPlan::Served { folder, disk } => {
            Ok(over(seat, served(&node(seat), *folder, disk), ImageFormat::Raw, plan.read_only))
        }
    }
}

/// A node of the disk in a place under the name that follows from another one of the top node.
pub(in crate::hypervisor::qemu) fn renamed(mut of: Value, seat: usize, top: &str) -> Value {
    let usual = node(seat);
    if let Value::Object(fields) = &mut of {
        for key in ["node-name", "file", "backing", "password-secret"] {
            if let Some(Value::String(name)) = fields.get_mut(key)
                && let Some(rest) = name.strip_prefix(&usual)
            {
                *name = format!("{top}{rest}");
            }
        }
        let socket = fields.get_mut("server").and_then(|server| server.get_mut("path"));
        if let Some(Value::String(path)) = socket
            && let Some(folder) = path.strip_suffix(&socket_of(&usual))
        {
            *path = format!("{folder}{}", socket_of(top));
        }
    }
    of
}

/// The two names that the top node of a disk may have: it gets the other one when it is moved.
pub(in crate::hypervisor::qemu) fn top_nodes(seat: usize) -> [String; 2] {
    [node(seat), format!("{}-moved", node(seat))]
}

/// Whether a node is that top node, or below it.
pub(in crate::hypervisor::qemu) fn is_under(name: &str, seat: usize, top: &str) -> bool {
    let [usual, moved] = top_nodes(seat);
    let under = |top: &str| name.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    if top == usual { under(&usual) && !under(&moved) } else { under(top) }
}

/// What speaks with a server, and the image format on top of it. Over a server that knows no formats there is a `raw`
/// node all the same: what is below it can be exchanged while the guest runs.
fn over(seat: usize, client: Value, format: ImageFormat, read_only: bool) -> Vec<Value> {
    let [below, _] = client_nodes(&node(seat));
    let mut image = image_node(&node(seat), &below, format, read_only);
    match format {
        ImageFormat::Raw => {}
        ImageFormat::Qcow2 => image["backing"] = Value::Null,
    }
    vec![named(client, &below, read_only), image]
}

/// The nodes below a top node that speak with a server: one at a time, and the next one while the one before goes.
pub(in crate::hypervisor::qemu) fn client_nodes(top: &str) -> [String; 2] {
    ["file", "more"].map(|name| format!("{top}-{name}"))
}

fn named(mut client: Value, name: &str, read_only: bool) -> Value {
    client["node-name"] = name.into();
    client["read-only"] = read_only.into();
    client["discard"] = "unmap".into();
    client
}

fn image_node(top: &str, below: &str, format: ImageFormat, read_only: bool) -> Value {
    json!({
        "driver": format.as_str(), "node-name": top, "file": below, "read-only": read_only, "discard": "unmap",
    })
}

/// A disk's `raw` node, over that client.
pub(in crate::hypervisor::qemu) fn raw_node(top: &str, below: &str, read_only: bool) -> Value {
    image_node(top, below, ImageFormat::Raw, read_only)
}

/// A served disk's client, under that name.
pub(in crate::hypervisor::qemu) fn served_node(
    top: &str,
    folder: i32,
    disk: &Served,
    name: &str,
    read_only: bool,
) -> Value {
    named(served(top, folder, disk), name, read_only)
}

fn nfs(disk: &NfsDisk) -> Value {
    let path = format!("{}/{}", disk.share.trim_end_matches('/'), disk.path);
    let mut node = json!({"driver": "nfs", "server": {"type": "inet", "host": disk.server}, "path": path});
    for (key, id) in [("user", disk.user), ("group", disk.group)] {
        if let Some(id) = id {
            node[key] = id.into();
        }
    }
    node
}

fn iscsi(seat: usize, disk: &IscsiDisk) -> Result<Value> {
    let mut node = json!({
        "driver": "iscsi", "transport": "tcp", "portal": disk.portal, "target": disk.target, "lun": disk.lun,
        "header-digest": if disk.header_digest { "crc32c" } else { "none" }, "timeout": ISCSI_SECONDS,
    });
    if let Some(name) = &disk.initiator {
        node["initiator-name"] = name.as_str().into();
    }
    if let Some(login) = &disk.login {
        node["user"] = login.user.as_str().into();
        node["password-secret"] = secret_id(&self::node(seat)).into();
    }
    Ok(node)
}

fn nbd(disk: &NbdDisk) -> Value {
    let (host, port) = (disk.server.ip().to_string(), disk.server.port().to_string());
    json!({
        "driver": "nbd", "server": {"type": "inet", "host": host, "port": port}, "export": disk.export,
        "reconnect-delay": RECONNECT_SECONDS, "open-timeout": OPEN_SECONDS,
    })
}

fn served(top: &str, folder: i32, disk: &Served) -> Value {
    json!({
        "driver": "nbd", "server": {"type": "unix", "path": format!("/proc/self/fd/{folder}/{}", socket_of(top))},
        "export": disk.export(), "reconnect-delay": RECONNECT_SECONDS, "open-timeout": OPEN_SECONDS,
    })
}

/// The socket of the disk in a place, in the folder of those that are served.
pub fn socket(seat: usize) -> String {
    socket_of(&node(seat))
}

/// A disk that moved is served at another one, by its top node.
fn socket_of(top: &str) -> String {
    format!("{top}.sock")
}

pub(in crate::hypervisor::qemu) fn secret_id(top: &str) -> String {
    format!("{top}-secret")
}

/// The object that holds the password of a disk, by its top node. `data` says where QEMU finds it.
pub(in crate::hypervisor::qemu) fn secret(top: &str, data: Value) -> Value {
    let mut object = json!({"qom-type": "secret", "id": secret_id(top)});
    if let (Value::Object(object), Value::Object(data)) = (&mut object, data) {
        object.extend(data);
    }
    object
}

/// Those of a chain (top first; each with the number of its descriptor set).
fn chain_nodes(seat: usize, chain: &[(ImageFormat, i32)], read_only: bool) -> Vec<Value> {
    let top = node(seat);
    let below = |layer: usize| if layer == 0 { top.clone() } else { format!("{top}-below{layer}") };
    let layers = chain.iter().enumerate().rev();
    layers
        .flat_map(|(layer, (format, set))| {
            let backing = (layer + 1 < chain.len()).then(|| below(layer + 1));
            file_nodes(&below(layer), *format, *set, layer > 0 || read_only, backing.as_deref())
        })
        .collect()
}

/// The device, without its place.
pub(in crate::hypervisor::qemu) fn device(
    seat: usize,
    disk: &Disk,
    plan: &DiskPlan,
    on_error: Option<OnStorageError>,
) -> Result<Value> {
    let driver = match (disk.device, in_port(disk.device, disk.bus)) {
        (DiskDevice::Cdrom, _) => "ide-cd",
        (DiskDevice::Disk, false) => "ide-hd",
        (DiskDevice::Disk, true) => "virtio-blk-pci",
    };
    if driver == "ide-hd" && plan.read_only {
        return Err(Failure::usage("it is read-only, and SATA has no read-only disks")
            .hint("write bus = \"virtio\", or device = \"cdrom\""));
    }
    let mut device = json!({"driver": driver, "id": device_id(seat), "drive": node(seat)});
    match disk.device {
        DiskDevice::Cdrom => {}
        DiskDevice::Disk => {
            let [write, read] = errors(on_error, &plan.way);
            device["werror"] = write.into();
            device["rerror"] = read.into();
            let name = disk.volume.volume.as_str();
            if name.len() <= SERIAL_MAX {
                device["serial"] = name.into();
            }
        }
    }
    Ok(device)
}

/// What QEMU does about a write, and a read, that failed.
fn errors(on_error: Option<OnStorageError>, way: &WayPlan) -> [&'static str; 2] {
    match (on_error, way) {
        (Some(OnStorageError::Pause), _) => ["stop", "stop"],
        (Some(OnStorageError::Report), _) => ["report", "report"],
        // A full pool stops the guest until there is room; a broken disk of this host does not mend by itself.
        (None, WayPlan::Files(_)) => ["enospc", "report"],
        (None, WayPlan::Nfs(_) | WayPlan::Iscsi(_) | WayPlan::Nbd(_) | WayPlan::Served { .. }) => ["stop", "stop"],
    }
}

/// The bus of a SATA disk or drive, the controllers up to its own added before it.
fn sata_port(list: &mut List, index: usize, controllers: &mut usize) -> Result<String> {
    let (controller, port) = (index / PORTS, index % PORTS);
    if controller > MORE_CONTROLLERS {
        return Err(Failure::usage(format!("the domain has more than {} SATA disks", PORTS * (MORE_CONTROLLERS + 1))));
    }
    while *controllers < controller {
        *controllers += 1;
        let addr = slot(MORE_SATA + *controllers - 1);
        list.json("-device", json!({"driver": "ich9-ahci", "id": format!("sata{controllers}"), "addr": addr}));
    }
    Ok(match controller {
        0 => format!("ide.{port}"),
        more => format!("sata{more}.{port}"),
    })
}

/// The port, of layout 2, that a disk sits in.
pub(in crate::hypervisor::qemu) fn port(seat: usize) -> String {
    format!("disk-port{seat}")
}

/// The top block node of the disk in a place.
pub(in crate::hypervisor::qemu) fn node(seat: usize) -> String {
    format!("disk{seat}")
}

/// What a device stands on that was cut off from its storage.
pub(in crate::hypervisor::qemu) fn cut_node(seat: usize) -> String {
    format!("{}-gone", node(seat))
}

pub(in crate::hypervisor::qemu) fn device_id(seat: usize) -> String {
    format!("{}-device", node(seat))
}

/// The place of the disk that a block node belongs to; none for a name of another kind.
pub(in crate::hypervisor::qemu) fn disk_of_node(node: &str) -> Option<usize> {
    let rest = node.strip_prefix("disk")?;
    rest[..rest.find('-').unwrap_or(rest.len())].parse().ok()
}
