//! Devices of a running machine: plugged into ports and out of them, discs in drives, memory in the balloon.
//!
//! ```text
//!   disk   add-fd ─▸ blockdev-add … ─▸ device_add        device_del ─▸ (the guest lets go) ─▸ blockdev-del … ─▸ remove-fd
//!   card   getfd ─▸ netdev_add ─▸ device_add             device_del ─▸ (the guest lets go) ─▸ netdev_del
//!   disc   add-fd ─▸ blockdev-add … ─▸ insert            open the tray ─▸ remove ─▸ blockdev-del … ─▸ remove-fd
//! ```
//!
//! What takes away takes "already gone" as done, and begins with what QEMU says that there is, so that it also clears up
//! after a supervisor that was killed half way.

use std::os::fd::OwnedFd;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{Monitor, command};
use crate::config::domain::{Action, Card, Disk, OnStorageError};
use crate::error::{Failure, Kind, Result};
use crate::hypervisor::qemu::SERVED_DESCRIPTOR;
use crate::hypervisor::qemu::arguments::{self, CardPlan, DiskPlan, WayPlan};
use crate::hypervisor::{CardSource, Device};
use crate::storage::{BlockSource, Way};
use crate::types::ByteSize;

/// Between two looks at whether a guest has let something go.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long QEMU may take to let go of the image of a device that is gone: it waits for what the guest last wrote.
const FREED_WITHIN: Duration = Duration::from_secs(4);
/// How long it may take to reach a server for a disk that is plugged in.
pub(super) const OPENED_WITHIN: Duration = Duration::from_secs(40);

impl Monitor {
    /// `balloon`: what the guest is to have. It gives back, or takes, as fast as it can; a guest without the driver has all.
    pub async fn set_balloon(&self, memory: ByteSize) -> Result<()> {
        self.execute(&command::SetBalloon { value: memory.bytes() }, None).await.map(drop)
    }

    /// `query-balloon`: what it has.
    pub async fn balloon(&self) -> Result<ByteSize> {
        Ok(ByteSize::from_bytes(self.execute(&command::QueryBalloon {}, None).await?.actual))
    }

    /// `set-action`: what QEMU does by itself when the guest ends.
    pub async fn set_actions(&self, on_poweroff: Action, on_reboot: Action) -> Result<()> {
        let [reboot, shutdown] = arguments::ends(on_poweroff, on_reboot);
        self.execute(&command::SetAction { reboot, shutdown }, None).await.map(drop)
    }

    /// Whether the machine has the device.
    pub async fn has(&self, device: Device) -> Result<bool> {
        let all = self.execute(&command::QomList { path: "/machine/peripheral" }, None).await?;
        let id = id(device);
        Ok(all.iter().any(|property| property.name == id))
    }

    /// Plugs a virtio disk into the port of that number. After a failure nothing of it is left.
    pub async fn plug_disk(
        &self,
        port: usize,
        disk: &Disk,
        source: BlockSource,
        on_error: Option<OnStorageError>,
    ) -> Result<()> {
        let plugged = async {
            let plan = self.add_nodes(port, source).await?;
            let mut device = arguments::disk_device(port, disk, &plan, on_error)?;
            device["bus"] = arguments::disk_port(port).into();
            self.execute(&command::DeviceAdd { device }, None).await.map(drop)
        };
        let plugged = plugged.await;
        if plugged.is_err() {
            self.forget_nodes(port).await?;
        }
        plugged
    }

    /// Plugs a virtio card into the port of that number. After a failure nothing of it is left.
    pub async fn plug_card(&self, port: usize, card: &Card, source: CardSource, boots: bool) -> Result<()> {
        let plugged = async {
            let name = arguments::card_netdev_id(port);
            let plan = match source {
                CardSource::Tap { descriptor, mtu } => {
                    self.execute(&command::GetNamedFd { fdname: name.clone() }, Some(descriptor)).await?;
                    CardPlan::Tap { descriptor: -1, mtu }
                }
                CardSource::User { network, forwards, restricted } => CardPlan::User { network, forwards, restricted },
            };
            let netdev = arguments::netdev(port, &plan, &name)?;
            self.execute(&command::NetdevAdd { netdev }, None).await?;
            let mut device = arguments::card_device(port, card, &plan, boots);
            device["bus"] = arguments::card_port(port).into();
            self.execute(&command::DeviceAdd { device }, None).await.map(drop)
        };
        let plugged = plugged.await;
        if plugged.is_err() {
            self.forget_netdev(port).await?;
        }
        plugged
    }

    /// Asks the guest to let the device go, and waits until it has. `Ok` where it is gone; what stood behind it is then
    /// the caller's to [`forget`](Monitor::forget).
    ///
    /// # Errors
    /// `TimedOut` where the guest has not let go. It has been asked, and may still do so.
    pub async fn unplug(&self, device: Device, within: Duration) -> Result<()> {
        let until = Instant::now() + within;
        if !self.has(device).await? {
            return Ok(());
        }
        match self.execute(&command::DeviceDel { id: id(device) }, None).await {
            Ok(_) => {}
            // Asked before, and a guest is asked once only.
            Err(failure) if failure.to_string().contains("in the process of unplug") => {}
            // It went in this moment.
            Err(_) if !self.has(device).await? => {}
            Err(failure) => return Err(failure),
        }
        while self.has(device).await? {
            if Instant::now() >= until {
                return Err(Failure::new(Kind::TimedOut, format!("the guest has not let it go in {within:?}")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Takes away what stood behind a device that is gone.
    pub async fn forget(&self, device: Device) -> Result<()> {
        match device {
            Device::Disk(place) => self.forget_nodes(place).await,
            Device::Card(place) => self.forget_netdev(place).await,
        }
    }

    /// Whether a disc is in the drive in that place.
    pub async fn has_disc(&self, place: usize) -> Result<bool> {
        Ok(self.drive(place).await?.inserted.is_some())
    }

    /// Puts a disc into an empty drive. After a failure it is empty again.
    pub async fn insert(&self, place: usize, source: BlockSource) -> Result<()> {
        let id = id(Device::Disk(place));
        let inserted = async {
            self.add_nodes(place, source).await.map(drop)?;
            self.execute(&command::OpenTray { id: id.clone(), force: true }, None).await?;
            let node_name = arguments::disk_node(place);
            self.execute(&command::InsertMedium { id: id.clone(), node_name }, None).await?;
            self.execute(&command::CloseTray { id: id.clone() }, None).await.map(drop)
        };
        let inserted = inserted.await;
        if inserted.is_err() {
            // Where nothing is in it, there is nothing to take out.
            let _ = self.execute(&command::RemoveMedium { id }, None).await;
            self.forget_nodes(place).await?;
        }
        inserted
    }

    /// Takes the disc out of a drive; with `force` also one that the guest holds.
    ///
    /// # Errors
    /// `TimedOut` where the guest holds it. It has been asked to let go, and may still do so.
    pub async fn eject(&self, place: usize, force: bool, within: Duration) -> Result<()> {
        let until = Instant::now() + within;
        let id = id(Device::Disk(place));
        self.execute(&command::OpenTray { id: id.clone(), force }, None).await?;
        while self.drive(place).await?.tray_open != Some(true) {
            if Instant::now() >= until {
                return Err(Failure::new(Kind::TimedOut, format!("the guest has held the disc for {within:?}")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if self.has_disc(place).await? {
            self.execute(&command::RemoveMedium { id: id.clone() }, None).await?;
        }
        self.forget_nodes(place).await?;
        self.execute(&command::CloseTray { id }, None).await.map(drop)
    }

    async fn drive(&self, place: usize) -> Result<command::Drive> {
        let id = id(Device::Disk(place));
        let all = self.execute(&command::QueryBlock {}, None).await?;
        let named =
            |drive: &command::Drive| drive.qdev.as_deref().is_some_and(|path| path.split('/').any(|part| part == id));
        all.into_iter().find(named).ok_or_else(|| Failure::other(format!("the machine has no drive {id}")))
    }

    /// The node that a disk's device stands on: the first, or that of a place to which it was moved.
    pub(super) async fn top_node(&self, place: usize) -> Result<String> {
        let inserted = self.drive(place).await?.inserted;
        inserted.and_then(|inserted| inserted.node_name).ok_or_else(|| Failure::other("there is nothing in that drive"))
    }

    /// And its size in bytes.
    pub(super) async fn top_and_size(&self, place: usize) -> Result<(String, u64)> {
        let inserted = self.drive(place).await?.inserted.and_then(|top| Some((top.node_name?, top.image.virtual_size)));
        inserted.ok_or_else(|| Failure::other("there is nothing in that drive"))
    }

    /// Of the disk in a place, as its guest sees it, in bytes.
    pub async fn size_of(&self, place: usize) -> Result<u64> {
        self.top_and_size(place).await.map(|(_, size)| size)
    }

    async fn add_nodes(&self, place: usize, source: BlockSource) -> Result<DiskPlan> {
        self.add_nodes_as(place, source, &arguments::disk_node(place)).await
    }

    /// The same with another name for the top node, and for those below it names that follow from that.
    pub(super) async fn add_nodes_as(&self, place: usize, source: BlockSource, top: &str) -> Result<DiskPlan> {
        let way = match source.way {
            Way::Files(images) => {
                let mut chain = Vec::with_capacity(images.len());
                for (format, descriptor) in images {
                    let opaque = top.to_owned();
                    let descriptor: OwnedFd = descriptor;
                    let set = self.execute(&command::AddNamedFd { opaque }, Some(descriptor)).await?.fdset_id;
                    let set =
                        i32::try_from(set).map_err(|_| Failure::other("the hypervisor has too many descriptors"))?;
                    chain.push((format, set));
                }
                WayPlan::Files(chain)
            }
            Way::Nfs(disk) => WayPlan::Nfs(disk),
            Way::Nbd(disk) => WayPlan::Nbd(disk),
            Way::Iscsi(disk) => {
                if let Some(login) = &disk.login {
                    let data = json!({"data": base64(login.password.reveal()), "format": "base64"});
                    let object = arguments::disk_secret(top, data);
                    self.execute(&command::ObjectAdd { object }, None).await?;
                }
                WayPlan::Iscsi(disk)
            }
            Way::Served(disk) => WayPlan::Served { folder: SERVED_DESCRIPTOR, disk },
        };
        let plan = DiskPlan { way, read_only: source.read_only, secret: None };
        for node in arguments::disk_nodes(place, &plan)? {
            let node = arguments::renamed(node, place, top);
            // One that speaks with a server answers once that has greeted it.
            self.execute_within(&command::BlockdevAdd { node }, None, OPENED_WITHIN).await?;
        }
        Ok(plan)
    }

    /// Cuts the connections of nodes that speak NBD, for good: what waits for an answer fails.
    pub(super) async fn yank(&self, which: impl Fn(&str) -> bool) -> Result<()> {
        let all = self.execute(&command::QueryNodes { flat: true }, None).await?;
        let names = all.into_iter().filter(|node| node.drv == "nbd").filter_map(|node| node.node_name);
        let instances: Vec<_> =
            names.filter(|name| which(name)).map(|name| json!({"type": "block-node", "node-name": name})).collect();
        match instances.is_empty() {
            true => Ok(()),
            false => self.execute(&command::Yank { instances }, None).await.map(drop),
        }
    }

    pub(super) async fn forget_sets(&self, which: impl Fn(&str) -> bool) -> Result<()> {
        for set in self.execute(&command::QueryFdsets {}, None).await? {
            if set.fds.iter().any(|fd| fd.opaque.as_deref().is_some_and(&which)) {
                self.execute(&command::RemoveFd { fdset_id: set.fdset_id }, None).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn forget_secret(&self, top: &str) {
        let _ = self.execute(&command::ObjectDel { id: arguments::disk_secret_id(top) }, None).await;
    }

    async fn forget_nodes(&self, place: usize) -> Result<()> {
        self.forget_nodes_where(|name| arguments::disk_of_node(name) == Some(place)).await?;
        // Most disks have none.
        for top in arguments::top_nodes(place) {
            self.forget_secret(&top).await;
        }
        self.forget_sets(|opaque| arguments::disk_of_node(opaque) == Some(place)).await
    }

    pub(super) async fn forget_nodes_where(&self, which: impl Fn(&str) -> bool) -> Result<()> {
        let until = Instant::now() + FREED_WITHIN;
        loop {
            let all = self.execute(&command::QueryNodes { flat: true }, None).await?;
            let names = all.into_iter().filter_map(|node| node.node_name);
            let ours: Vec<String> = names.filter(|name| which(name)).collect();
            let (before, mut failed) = (ours.len(), None);
            let mut gone = 0;
            for node_name in ours {
                // One that another stands on has to wait for that one; the top, for QEMU to take the device apart.
                match self.execute(&command::BlockdevDel { node_name }, None).await {
                    Ok(_) => gone += 1,
                    Err(failure) => failed = Some(failure),
                }
            }
            match failed {
                Some(failure) if gone == 0 && Instant::now() >= until => return Err(failure),
                Some(_) if gone == 0 => tokio::time::sleep(LOOK_EVERY).await,
                None if before == gone => break,
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    async fn forget_netdev(&self, place: usize) -> Result<()> {
        match self.execute(&command::NetdevDel { id: arguments::card_netdev_id(place) }, None).await {
            Err(failure) if !failure.to_string().contains("not found") => Err(failure),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// RFC 4648, 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let letter = (number >> (18 - 6 * at)) & 63;
            text.push(if at > three.len() { '=' } else { char::from(LETTERS[letter as usize]) });
        }
    }
    text
}

fn id(device: Device) -> String {
    match device {
        Device::Disk(place) => arguments::disk_id(place),
        Device::Card(place) => arguments::card_id(place),
    }
}
