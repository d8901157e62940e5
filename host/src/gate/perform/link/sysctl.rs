//! Kernel settings of one link (Linux Documentation/networking/ip-sysctl.rst). Their lack is no error: a kernel
//! without IPv6 has no IPv6 to turn off.

use crate::types::InterfaceName;

/// No address of its own making on this link, and no answer to a source that is routed elsewhere.
pub(super) fn quieten(link: &InterfaceName) {
    set("ipv6", link, "disable_ipv6", "1");
    set("ipv6", link, "accept_ra", "0");
    set("ipv4", link, "rp_filter", "1");
}

/// A bridge takes over what its uplink has of IPv6: whether it speaks it, and listens to routers.
pub(super) fn copy_ipv6(from: &str, to: &str) {
    for key in ["disable_ipv6", "accept_ra"] {
        if let Ok(value) = std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{from}/{key}")) {
            let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{to}/{key}"), value);
        }
    }
}

fn set(family: &str, link: &InterfaceName, key: &str, value: &str) {
    let path = format!("/proc/sys/net/{family}/conf/{link}/{key}");
    if let Err(error) = std::fs::write(&path, value) {
        tracing::debug!(path, %error, "cannot set a kernel setting");
    }
}
