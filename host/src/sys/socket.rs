//! Unix sockets in folders whose path may be longer than the 108 bytes that `sockaddr_un` holds (unix(7)): the name
//! goes through the folder's descriptor.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

fn through(folder: &File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
}

/// Binds and listens at `folder/name`, taking the place of a socket that an earlier process left there.
pub fn listen_in(folder: &Path, name: &str) -> io::Result<UnixListener> {
    match std::fs::remove_file(folder.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let folder = File::open(folder)?;
    UnixListener::bind(through(&folder, name))
}

/// Connects to `folder/name`.
pub fn connect_in(folder: &Path, name: &str) -> io::Result<UnixStream> {
    let folder = File::open(folder)?;
    UnixStream::connect(through(&folder, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_a_long_path_takes_a_socket_twice() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("x".repeat(120));
        std::fs::create_dir(&folder).unwrap();
        for _ in 0..2 {
            let _listener = listen_in(&folder, "control.sock").unwrap();
            connect_in(&folder, "control.sock").unwrap();
        }
    }
}
