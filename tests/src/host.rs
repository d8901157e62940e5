//! A host: its own network namespace, its own root, the plugins of the tree installed and granted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::command::{self, Said};
use crate::{Census, Guest, Namespace, census, compiled};

/// A command of fief's that is not a start of a machine under load ends long before this.
const PATIENCE: Duration = Duration::from_secs(90);
/// What a stopped machine leaves goes with its processes, a moment later.
const SETTLED: Duration = Duration::from_secs(10);

const PLUGINS: &[&str] = &["storage-file", "network-bridge", "network-host-only", "network-user"];

pub struct Host {
    // Dropped in this order: the namespace goes before the folder.
    namespace: Namespace,
    root: TempDir,
    before: Option<Census>,
}

/// `target/`, or what `CARGO_TARGET_DIR` says.
pub fn target() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    workspace.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The binary under test: `FIEF`, or the one that `cargo build` makes.
pub fn fief() -> PathBuf {
    let binary = std::env::var_os("FIEF").map_or_else(|| target().join("debug/fief"), PathBuf::from);
    assert!(binary.exists(), "{} is not built; `cargo xtask test` builds it", binary.display());
    binary
}

/// The same with its fault points (`host/src/fault.rs`).
pub fn fief_with_faults() -> PathBuf {
    let binary = fief().with_file_name("fief-faults");
    assert!(binary.exists(), "{} is not built; `cargo xtask test` builds it", binary.display());
    binary
}

impl Host {
    /// With a pool `default` of files, and nothing else.
    ///
    /// # Panics
    /// Where we are not root, or something is not built: `cargo xtask test` makes all of it.
    pub fn new() -> Host {
        let mut host = Host::bare();
        for plugin in PLUGINS {
            host.installs(plugin);
        }
        host.fief(&["pool", "create", "default", "--kind", "file", "--set", "directory=images"]);
        host.before = Some(host.census());
        host
    }

    /// Installs a plugin of the tree.
    #[track_caller]
    pub fn installs(&self, plugin: &str) {
        self.installs_with(plugin, &[]);
    }

    /// The same of one that does not do what the interface says.
    #[track_caller]
    pub fn installs_untried(&self, plugin: &str) {
        self.installs_with(plugin, &["--untried"]);
    }

    #[track_caller]
    fn installs_with(&self, plugin: &str, options: &[&str]) {
        let file = target().join(format!("wasm32-wasip2/release/{}.wasm", plugin.replace('-', "_")));
        assert!(file.exists(), "{} is not built; `cargo xtask test` builds it", file.display());
        compiled::lend(self.root());
        self.fief(&[&["plugin", "install", &file.to_string_lossy()], options].concat());
        compiled::keep(self.root());
    }

    /// With a policy and a folder for images; no plugin is installed.
    pub fn bare() -> Host {
        let root = tempfile::Builder::new().prefix("fief-test-").tempdir().expect("a folder for a host");
        fs::create_dir(root.path().join("images")).expect("a folder for images");
        // Its parents once something is in them are not something left.
        for folder in ["domains", "networks", "peers", "pools"] {
            fs::create_dir(root.path().join(folder)).expect("a folder of a host");
        }
        fs::write(root.path().join("policy.toml"), policy(root.path())).expect("a policy");
        Host { namespace: Namespace::new(), root, before: None }
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// `fief WORDS…` in this host, to be changed further and run.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.namespace.command(fief());
        command.args(words).env("FIEF_ROOT", self.root()).env_remove("FIEF_LOG");
        command
    }

    /// Runs `fief WORDS…`, which must succeed.
    #[track_caller]
    pub fn fief(&self, words: &[&str]) -> Said {
        self.fief_ends(words, 0)
    }

    /// Runs `fief WORDS…`, which must end with this code.
    #[track_caller]
    pub fn fief_ends(&self, words: &[&str], code: i32) -> Said {
        command::run(&mut self.command(words), PATIENCE).expect_code(code)
    }

    /// A host-only network.
    #[track_caller]
    pub fn host_only(&self, name: &str, address: &str) {
        self.fief(&["network", "create", name, "--kind", "host-only", "--set", &format!("address={address}")]);
    }

    /// An empty volume.
    #[track_caller]
    pub fn volume(&self, name: &str, size: &str) {
        self.fief(&["volume", "create", name, "--size", size]);
    }

    /// A raw volume with these bytes in it, written past the plugin: as if an earlier guest had. Gives its image.
    #[track_caller]
    pub fn volume_with(&self, name: &str, size: &str, content: &Path) -> PathBuf {
        let images = self.root().join("images");
        let list = || fs::read_dir(&images).expect("images").flatten().map(|entry| entry.path()).collect::<Vec<_>>();
        let before = list();
        self.fief(&["volume", "create", name, "--size", size, "--format", "raw"]);
        let new: Vec<PathBuf> = list().into_iter().filter(|path| !before.contains(path)).collect();
        let [image] = &new[..] else { panic!("one new image was expected below {}, not {new:?}", images.display()) };
        let mut copy = Command::new("dd");
        copy.arg(format!("if={}", content.display())).arg(format!("of={}", image.display()));
        command::run(copy.args(["bs=1M", "conv=notrunc,sparse", "status=none"]), PATIENCE).expect_code(0);
        image.clone()
    }

    /// Defines and starts a witness guest.
    #[track_caller]
    pub fn run_guest(&self, name: &str, options: &[&str], words: &str) -> Guest<'_> {
        self.create_guest(name, options, words);
        self.fief(&["start", name]);
        Guest::of(self, name)
    }

    /// Defines a witness guest: `options` as `fief create` takes them, `words` for the guest's kernel command line.
    #[track_caller]
    pub fn create_guest(&self, name: &str, options: &[&str], words: &str) {
        let kernel = crate::guest::kernel();
        let initramfs = crate::guest::initramfs();
        let cmdline = format!("console=ttyS0 quiet panic=-1 fief.name={name} {words}");
        let (kernel, initramfs) = (kernel.to_string_lossy(), initramfs.to_string_lossy());
        let boot = ["--kernel", &kernel, "--initrd", &initramfs, "--cmdline", &cmdline, "--memory", "192MiB"];
        self.fief(&[&["create", name], &boot[..], options].concat());
    }

    /// What `fief list -o json` says of one domain.
    #[track_caller]
    pub fn listed(&self, name: &str) -> serde_json::Value {
        let listing = self.fief(&["list", "-o", "json"]).json();
        let items = listing["items"].as_array().cloned().unwrap_or_default();
        items.into_iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("{name} is not listed: {listing}"))
    }

    /// What `fief show -o json` says of one domain.
    #[track_caller]
    pub fn shown(&self, name: &str) -> serde_json::Value {
        self.fief(&["show", name, "-o", "json"]).json()["item"].take()
    }

    #[track_caller]
    pub fn state(&self, name: &str) -> String {
        self.listed(name)["state"].as_str().unwrap_or_default().to_owned()
    }

    /// The process that runs a domain's guest, as its record names it.
    #[track_caller]
    pub fn hypervisor(&self, domain: &str) -> u32 {
        self.process_of(domain, "hypervisor")
    }

    /// The process that watches over a running domain, as its record names it.
    #[track_caller]
    pub fn supervisor(&self, domain: &str) -> u32 {
        self.process_of(domain, "supervisor")
    }

    #[track_caller]
    fn process_of(&self, domain: &str, role: &str) -> u32 {
        let shown = self.shown(domain);
        let pid = shown["run"][role]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        pid.unwrap_or_else(|| panic!("{domain} has no {role}: {shown}"))
    }

    /// Guests that start from now on have the QEMU of Debian's backports: of version 10, where this is Debian 12.
    #[track_caller]
    pub fn runs_newer_qemu(&self) {
        let newer = target().join("guest/newer-qemu/usr/bin/qemu-system-x86_64");
        assert!(newer.exists(), "{} is not there; `cargo xtask setup --for test` fetches it", newer.display());
        let newer = fs::canonicalize(newer).expect("a path");
        self.runs_installed_qemu();
        let path = self.root().join("policy.toml");
        let policy = fs::read_to_string(&path).expect("a policy");
        fs::write(&path, format!("{}\n\n{policy}", qemu(&newer))).expect("a policy");
    }

    /// And the installed one again.
    #[track_caller]
    pub fn runs_installed_qemu(&self) {
        let path = self.root().join("policy.toml");
        let policy = fs::read_to_string(&path).expect("a policy");
        if let Some(policy) = policy.strip_prefix("[host]\nqemu = ").and_then(|rest| rest.split_once("\n\n")) {
            fs::write(&path, policy.1).expect("a policy");
        }
    }

    /// The sandbox that serves the disk of a domain in a place, from the ledger of who keeps it served; where it lives.
    pub fn sandbox(&self, domain: &str, place: usize) -> Option<u32> {
        let ledger = self.root().join("domains").join(domain).join(format!("served-{place}.jsonl"));
        let ledger = fs::read_to_string(ledger).ok()?;
        let mut starts: Vec<(u64, Option<u64>)> = Vec::new();
        for line in ledger.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
            let id = line["id"].as_u64()?;
            match line["line"].as_str()? {
                "intent" if line["what"]["operation"] == "serving-start" => starts.push((id, None)),
                "outcome" => {
                    if let Some(start) = starts.iter_mut().find(|start| start.0 == id) {
                        start.1 = line["what"]["process"]["pid"].as_u64();
                    }
                }
                "gone" => starts.retain(|start| start.0 != id),
                _ => {}
            }
        }
        let pid = u32::try_from(starts.last()?.1?).ok()?;
        fs::exists(format!("/proc/{pid}/fd")).is_ok_and(|there| there).then_some(pid)
    }

    /// Processes of this host whose words hold `part`.
    pub fn processes(&self, part: &str) -> Vec<u32> {
        let all = census::processes(self.root(), &self.namespace);
        all.into_iter().filter(|(_, words)| words.contains(part)).map(|(pid, _)| pid).collect()
    }

    pub fn census(&self) -> Census {
        Census::take(self.root(), &self.namespace)
    }

    /// Asserts that nothing is left of what this host did since it was made.
    ///
    /// # Panics
    /// With what was left.
    #[track_caller]
    pub fn finish(self) {
        self.is_as_made();
    }

    /// The same, of a host that is still needed.
    #[track_caller]
    pub fn is_as_made(&self) {
        if let Some(before) = &self.before {
            self.settles_to(before);
        }
    }

    /// Asserts that this host comes to be as it was.
    #[track_caller]
    pub fn settles_to(&self, before: &Census) {
        self.settles_to_but(before, None);
    }

    /// The same, whatever is the case with one process.
    #[track_caller]
    pub fn settles_to_but(&self, before: &Census, process: Option<u32>) {
        let until = std::time::Instant::now() + SETTLED;
        loop {
            let now = self.census();
            let left = before.difference(&process.into_iter().fold(now, Census::without));
            if left.is_empty() {
                return;
            }
            assert!(std::time::Instant::now() < until, "what the census tells apart from before:\n{left}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The last lines of each log, for a test that failed.
    fn tell(&self) {
        for domain in fs::read_dir(self.root().join("domains")).into_iter().flatten().flatten() {
            for log in ["supervisor.log", "hypervisor.log", "console.log"] {
                let path = domain.path().join(log);
                let Ok(bytes) = fs::read(&path) else { continue };
                let text = String::from_utf8_lossy(&bytes);
                let lines: Vec<&str> = text.lines().collect();
                eprintln!("--- {}", path.display());
                lines[lines.len().saturating_sub(25)..].iter().for_each(|line| eprintln!("{}", line.escape_debug()));
            }
        }
    }
}

impl Default for Host {
    fn default() -> Self {
        Host::new()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
        // Supervisors first, so that none starts anew what ends; each was started by this test.
        for _ in 0..3 {
            for (pid, _) in census::processes(self.root.path(), &self.namespace) {
                if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn qemu(program: &Path) -> String {
    format!("[host]\nqemu = \"{}\"", program.display())
}

fn policy(root: &Path) -> String {
    format!(
        r#"[plugins.storage-file]
interfaces = ["images"]
directories = [{{ name = "images", path = "{}/images", access = "read-write" }}]

[plugins.network-host-only]
interfaces = ["bridges"]
bridges = ["fief-*"]

[plugins.network-bridge]
interfaces = ["bridges"]
bridges = ["fief-*", "br0", "eth0"]

[plugins.network-user]

[plugins.migration-live]
interfaces = ["session"]

[plugins.migration-static]
interfaces = ["session"]

[pools]
file = "storage-file"

[networks]
bridge = "network-bridge"
host-only = "network-host-only"
user = "network-user"
"#,
        root.display()
    )
}
