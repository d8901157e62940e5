//! Kernel settings of one link (Linux Documentation/networking/ip-sysctl.rst). Their lack is no error: a kernel
//! without IPv6 has no IPv6 to turn off.

use crate::types::InterfaceName;

/// No address of its own making on this link, and no answer to a source that is routed elsewhere.
pub(super) fn quieten(link: &InterfaceName) {
    set("ipv6", link, "disable_ipv6", "1");
    set("ipv6", link, "accept_ra", "0");
    set("ipv4", link, "rp_filter", "1");
}

/// A bridge takes over what its uplink has: whether it speaks IPv6 and listens to routers, and from which side a packet
/// may come.
pub(super) fn copy(from: &str, to: &str) {
    for key in ["ipv6/conf/NAME/accept_ra", "ipv6/conf/NAME/disable_ipv6", "ipv4/conf/NAME/rp_filter"] {
        let path = |name: &str| format!("/proc/sys/net/{}", key.replace("NAME", name));
        let copied = std::fs::read_to_string(path(from)).and_then(|value| std::fs::write(path(to), value));
        if let Err(error) = copied {
            tracing::debug!(key, %error, "cannot copy a kernel setting");
        }
    }
}

fn set(family: &str, link: &InterfaceName, key: &str, value: &str) {
    let path = format!("/proc/sys/net/{family}/conf/{link}/{key}");
    if let Err(error) = std::fs::write(&path, value) {
        tracing::debug!(path, %error, "cannot set a kernel setting");
    }
}
