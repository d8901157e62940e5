//! The `network-host-only` plugin.
