//! The `storage-file` plugin.
