//! A disk that became larger while its guest runs.
//!
//! NBD has no word for a new size: a client learns it when it connects. So a served disk gets a second connection, which
//! takes the place of the first below the disk's `raw` node while nothing is on its way:
//!
//! ```text
//!   disk0 ─▸ disk0-file          blockdev-add disk0-more ─▸ reopen disk0 over it ─▸ block_resize ─▸ blockdev-del disk0-file
//! ```

use super::{Monitor, command};
use crate::error::{Failure, Result};
use crate::hypervisor::qemu::SERVED_DESCRIPTOR;
use crate::hypervisor::qemu::arguments;
use crate::storage::Served;
use crate::types::ByteSize;

/// `BDRV_SECTOR_SIZE`, in bytes.
const SECTOR: u64 = 512;

/// Who has the bytes of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// A file, here or on a server: QEMU makes it larger itself.
    ByItself,
    /// A unit of an iSCSI target.
    Target,
    /// A server of NBD.
    Server,
}

impl Monitor {
    /// `query-named-block-nodes`: how QEMU comes to the disk in that place.
    pub async fn reached(&self, place: usize) -> Result<Reached> {
        let all = self.execute(&command::QueryNodes { flat: true }, None).await?;
        let clients = arguments::served_nodes(&self.top_node(place).await?);
        let node = all.iter().find(|node| node.node_name.as_ref().is_some_and(|name| clients.contains(name)));
        match node.map(|node| node.drv.as_str()) {
            Some("nbd") => Ok(Reached::Server),
            Some("iscsi") => Ok(Reached::Target),
            Some(_) => Ok(Reached::ByItself),
            None => Err(Failure::other("the machine has no such disk")),
        }
    }

    /// `block_resize`: an image that QEMU has open is made larger, or was by others, and its guest is told.
    pub async fn grow(&self, place: usize, size: ByteSize) -> Result<()> {
        let resize = command::BlockResize { node_name: self.top_node(place).await?, size: size.bytes() };
        self.execute_within(&resize, None, super::device::OPENED_WITHIN).await.map(drop)
    }

    /// Shows the guest the size that a served disk has; whether it saw another.
    pub async fn sees_served(&self, place: usize, disk: &Served, size: ByteSize) -> Result<bool> {
        // QEMU counts in sectors, and a part of one as one.
        if self.size_of(place).await? == size.bytes().next_multiple_of(SECTOR) {
            return Ok(false);
        }
        self.grow_served(place, disk, size).await.map(|()| true)
    }

    async fn grow_served(&self, place: usize, disk: &Served, size: ByteSize) -> Result<()> {
        let name = self.top_node(place).await?;
        let all = self.execute(&command::QueryNodes { flat: true }, None).await?;
        let named = |name: &str| all.iter().find(|node| node.node_name.as_deref() == Some(name));
        let top = named(&name).ok_or_else(|| Failure::other("the machine has no such disk"))?;
        let [one, other] = arguments::served_nodes(&name);
        let (old, new) = if named(&one).is_some() { (one, other) } else { (other, one) };
        // Left by a supervisor that was killed here.
        if named(&new).is_some() {
            self.execute(&command::BlockdevDel { node_name: new.clone() }, None).await?;
        }
        let node = arguments::served_node(&name, SERVED_DESCRIPTOR, disk, &new, top.ro);
        self.execute_within(&command::BlockdevAdd { node }, None, super::device::OPENED_WITHIN).await?;
        let options = vec![arguments::raw_node(&name, &new, top.ro)];
        let exchanged = self.execute(&command::BlockdevReopen { options }, None).await;
        let gone = if exchanged.is_ok() { old } else { new };
        self.execute(&command::BlockdevDel { node_name: gone }, None).await?;
        exchanged?;
        self.grow(place, size).await
    }
}
