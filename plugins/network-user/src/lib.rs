//! The `network-user` plugin.
