//! Kernel settings of one link (Linux Documentation/networking/ip-sysctl.rst). Their lack is no error: a kernel
//! without IPv6 has no IPv6 to turn off.

use crate::types::InterfaceName;

/// No address of its own making on this link, and no answer to a source that is routed elsewhere.
pub(super) fn quieten(link: &InterfaceName) {
    set("ipv6", link, "disable_ipv6", "1");
    set("ipv6", link, "accept_ra", "0");
    set("ipv4", link, "rp_filter", "1");
}

fn set(family: &str, link: &InterfaceName, key: &str, value: &str) {
    let path = format!("/proc/sys/net/{family}/conf/{link}/{key}");
    if let Err(error) = std::fs::write(&path, value) {
        tracing::debug!(path, %error, "cannot set a kernel setting");
    }
}
