//! Volumes as the disks of an iSCSI target, over streams that the host connects.
//!
//! ```text
//!   control  fence notes  block                       what the host asks for
//!        exchange          keep, link, perform        one command at a time; many, over many sessions
//!        unit, settings, stream, isid
//!   scsi                  protocol                    bytes alone: no input, no output, no time
//! ```
//! A volume is a logical unit that is a disk: `lun3`. It is made, grown and removed on the target; here it is found,
//! fenced and served. Nothing is kept on this side: all that the plugin knows, the target told it.

pub mod block;
pub mod control;
pub mod exchange;
pub mod fence;
pub mod isid;
mod notes;
pub mod protocol;
pub mod scsi;
pub mod settings;
pub mod stream;
pub mod unit;

use fief_sdk::Permission;

use crate::block::Disk;

fief_sdk::plugin! {
    storage: StorageIscsi with fences, notes, block(Disk);
    id: "storage-iscsi",
    summary: "volumes as the disks of an iSCSI target",
    permissions: [
        Permission::connect(stream::GRANT, "{portal}:{port}", "speaks iSCSI with the portal of the target"),
        Permission::secret("{password}", "proves to the target who it is (CHAP)"),
        Permission::secret("{mutual-password}", "has the target prove who it is (mutual CHAP)"),
    ],
}

pub struct StorageIscsi;
