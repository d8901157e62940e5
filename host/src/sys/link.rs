//! Whether a link is there, without the list of all of them.

use std::io;

use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::types::InterfaceName;

/// Whether a link of this name is in this thread's network namespace (netdevice(7), `SIOCGIFINDEX`).
pub fn exists(name: &InterfaceName) -> io::Result<bool> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    match name_to_index(&socket, name.as_str()) {
        Ok(_) => Ok(true),
        Err(Errno::NODEV) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
