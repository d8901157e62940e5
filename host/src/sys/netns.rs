//! For tests: threads and guests in network namespaces of their own, which go with them.
#![allow(unsafe_code)]

use std::process::{Child, Command, Output, Stdio};

/// Runs `body` on a new thread in an empty network namespace with its loopback up; threads and processes that it
/// starts are in that namespace too.
pub(crate) fn within<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: of the flags only the network namespace is left behind, which no borrowed memory depends on.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
            ip("link set lo up");
            body()
        });
        match thread.join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// What this thread, and those that it starts, find in `/etc/hosts`: the text that is in this file, also when it changes.
pub(crate) fn hosts(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, text).unwrap();
    // SAFETY: mounts alone are left behind, and with them this thread's share of the current directory; nobody here
    // depends on that.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }.unwrap();
    let flags = rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags).unwrap();
    rustix::mount::mount_bind(file.path(), "/etc/hosts").unwrap();
    file
}

/// `ip …` in this thread's network namespace.
pub(crate) fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A network namespace below this one, kept by a process that waits, with one card `eth0`.
pub(crate) struct Guest(Child);

impl Guest {
    /// The other end of the card is a link called `link` in this thread's namespace; it is put on `bridge`, if any.
    pub(crate) fn new(link: &str, bridge: Option<&str>, address: Option<&str>) -> Guest {
        let mut child = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up; echo; exec sleep 600"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
        let guest = Guest(child);
        ip(&format!("link add {link} type veth peer name eth0 netns {}", guest.0.id()));
        if let Some(bridge) = bridge {
            ip(&format!("link set {link} master {bridge}"));
        }
        ip(&format!("link set {link} up"));
        guest.ip("link set eth0 up");
        if let Some(address) = address {
            guest.ip(&format!("address add {address} dev eth0"));
        }
        guest
    }
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        Command::new("nsenter").args(["--net", "--target", &self.0.id().to_string()]).args(words).output().unwrap()
    }
    pub(crate) fn ip(&self, words: &str) {
        let output = self.run(&["sh", "-c", &format!("ip {words}")]);
        assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
    }
    /// Whether one echo request is answered within a second.
    pub(crate) fn reaches(&self, address: &str) -> bool {
        self.run(&["busybox", "ping", "-c", "1", "-W", "1", address]).status.success()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
