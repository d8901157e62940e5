//! Volumes as the logical units of an iSCSI target, over streams that the host connects.
