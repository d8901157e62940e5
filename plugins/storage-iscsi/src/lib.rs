//! Volumes as the logical units of an iSCSI target, over streams that the host connects.
pub mod protocol;
pub mod scsi;
