//! A network namespace: where a host's bridges are, away from the machine's own links.

use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::command::{self, Said};

/// `ip`, `nft` and `ping` answer at once.
const TOOL: Duration = Duration::from_secs(20);

/// Deleted when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// An empty one, its loopback up.
    ///
    /// # Panics
    /// Where we may not make one: these tests need root.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("fief-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        command::run(Command::new("ip").args(["netns", "add", &name]), TOOL).expect_code(0);
        let namespace = Namespace { name };
        namespace.ip("link set lo up");
        namespace
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Moves the calling thread in, for good: what it connects to from now on is what this namespace reaches.
    ///
    /// # Panics
    /// Where we may not: these tests need root.
    pub fn enter(&self) {
        let path = Path::new("/run/netns").join(&self.name);
        let namespace = std::fs::File::open(path).expect("a namespace that we made");
        let kind = Some(rustix::thread::LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).expect("a namespace that we made");
    }

    /// Runs words inside; gives what they said, however they ended.
    #[track_caller]
    pub fn run(&self, words: &str) -> Said {
        let mut words = words.split_whitespace();
        let mut command = self.command(words.next().expect("a program"));
        command::run(command.args(words), TOOL)
    }

    /// `ip` inside; must succeed.
    #[track_caller]
    pub fn ip(&self, words: &str) -> String {
        self.run(&format!("ip {words}")).expect_code(0).stdout
    }

    /// Lines of `ip` inside, one after the other, by one process: each must succeed.
    #[track_caller]
    pub fn ips(&self, lines: &str) {
        let mut ip = Command::new("ip");
        ip.args(["-n", &self.name, "-batch", "-"]);
        command::run_given(&mut ip, lines.as_bytes(), TOOL).expect_code(0);
    }

    /// A ruleset for `nft` inside.
    #[track_caller]
    pub fn nft(&self, rules: &str) {
        let mut nft = self.command("nft");
        command::run_given(nft.args(["-f", "-"]), rules.as_bytes(), TOOL).expect_code(0);
    }

    /// Processes whose network this is.
    pub fn processes(&self) -> Vec<u32> {
        let said = command::run(Command::new("ip").args(["netns", "pids", &self.name]), TOOL);
        said.stdout.lines().filter_map(|line| line.trim().parse().ok()).collect()
    }

    /// A pair of wired links: `here` in this one, `there` in the other; both get an address (CIDR) and are up.
    #[track_caller]
    pub fn wire(&self, here: (&str, &str), other: &Namespace, there: (&str, &str)) {
        self.ip(&format!("link add {} type veth peer name {} netns {}", here.0, there.0, other.name));
        for (namespace, (link, address)) in [(self, here), (other, there)] {
            namespace.ip(&format!("address add {address} dev {link}"));
            namespace.ip(&format!("link set {link} up"));
        }
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Namespace::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nothing to do about a failure here: the census has shown what holds it.
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}
