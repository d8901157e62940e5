//! Tap devices (Linux Documentation/networking/tuntap.rst): Ethernet frames of a link as a file descriptor.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::types::InterfaceName;

/// Refuse a name that exists instead of taking that link up (linux/if_tun.h, `IFF_TUN_EXCL`).
const TUN_EXCL: libc::c_short = 0x8000_u16 as libc::c_short;

/// Makes a tap called `name` in this thread's network namespace, with virtio headers before frames. It is not
/// persistent: it goes with its last descriptor, so that none outlives the hypervisor that holds it.
///
/// # Errors
/// `EBUSY` where a link of that name exists, `EPERM` without CAP_NET_ADMIN, `ENOENT` without /dev/net/tun.
pub fn create(name: &InterfaceName) -> io::Result<OwnedFd> {
    let descriptor =
        rustix::fs::open("/dev/net/tun", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?;
    // SAFETY: `ifreq` is plain data, for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // At most 15 bytes, so that a closing NUL stays (`InterfaceName`).
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_str().bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short | TUN_EXCL;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which outlives the call; the descriptor is open.
    let result = unsafe { libc::ioctl(descriptor.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(descriptor) }
}
