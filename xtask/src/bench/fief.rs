//! fief, as it is measured: a root of its own, its release binary.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::process_with;
use crate::command::{Doing, Result, capture, command, output, quietly};
use crate::{build, place};

pub(super) struct Fief {
    root: PathBuf,
}

impl Fief {
    pub(super) fn prepare(folder: &Path) -> Result<Self> {
        let root = folder.join("root");
        let images = root.join("images");
        let memory = folder.join("memory");
        fs::create_dir_all(&images)?;
        fs::create_dir_all(&memory)?;
        let policy = format!(
            "[plugins.storage-file]\ninterfaces = [\"images\"]\n\
             directories = [{{ name = \"images\", path = \"{}\", access = \"read-write\" }}, \
             {{ name = \"memory\", path = \"{}\", access = \"read-write\" }}]\n\n\
             [plugins.network-host-only]\ninterfaces = [\"bridges\"]\nbridges = [\"fief-*\"]\n\n\
             [plugins.storage-nfs]\nconnections = [{{ name = \"server\", to = \"{{server}}:{{port}}\", {near} }}, \
             {{ name = \"mount\", to = \"{{server}}:{{mount-port}}\", {near} }}]\n\n\
             [plugins.storage-iscsi]\nconnections = [{{ name = \"portal\", to = \"{{portal}}:{{port}}\", {near} }}]\n\n\
             [pools]\nfile = \"storage-file\"\nnfs = \"storage-nfs\"\niscsi = \"storage-iscsi\"\n\n[networks]\nhost-only = \"network-host-only\"\n",
            images.display(),
            memory.display(),
            near = "allow = [\"loopback\"]",
        );
        fs::write(root.join("policy.toml"), policy)?;
        let fief = Fief { root };
        for plugin in build::PLUGINS {
            fief.quietly(&["plugin", "install", &place::plugin(plugin).to_string_lossy()])?;
        }
        fief.quietly(&["pool", "create", "default", "--kind", "file", "--set", "directory=images"])?;
        // Without DHCP: what is measured is a card, and the server is the network's.
        let network = ["network", "create", "bench", "--kind", "host-only", "--set", "dhcp=false"];
        fief.quietly(&network)?;
        Ok(fief)
    }

    pub(super) fn define_guest(&self, name: &str) -> Result<()> {
        let volume = format!("default/{name}");
        self.quietly(&["volume", "create", &volume, "--size", "1MiB", "--format", "raw"])?;
        self.quietly(&["create", name, "--memory", "64MiB", "--accelerator", "tcg", "--disk", &volume])
    }

    /// Definitions without disks.
    pub(super) fn define_many(&self, many: usize) -> Result<()> {
        (0..many).try_for_each(|number| self.quietly(&["create", &format!("many{number}"), "--memory", "64MiB"]))
    }

    pub(super) fn start(&self, name: &str) -> Result<()> {
        self.quietly(&["start", name])
    }

    pub(super) fn stop(&self, name: &str) -> Result<()> {
        self.quietly(&["stop", name])
    }

    pub(super) fn quietly(&self, words: &[&str]) -> Result<()> {
        quietly(&mut self.command(words))
    }

    /// The file of a volume of the pool.
    pub(super) fn image(&self, volume: &str) -> Result<PathBuf> {
        let images = self.root.join("images");
        for entry in fs::read_dir(&images)? {
            let path = entry?.path();
            if path.file_stem().is_some_and(|stem| stem == volume)
                || path.file_name().is_some_and(|name| name == volume)
            {
                return Ok(path);
            }
        }
        Err(format!("{} holds no image of {volume}", images.display()).into())
    }

    /// Waits for words on a guest's console.
    pub(super) fn until_said(&self, name: &str, words: &str, within: Duration) -> Result<()> {
        let until = Instant::now() + within;
        while !capture(&mut self.command(&["logs", name]))?.contains(words) {
            if Instant::now() > until {
                return Err(format!("{name} did not say {words:?}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Starts it and does not wait for its end.
    pub(super) fn spawn(&self, words: &[&str]) -> Result<std::process::Child> {
        let mut command = self.command(words);
        let quiet = command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        quiet.spawn().doing(|| "cannot start fief".into())
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = command(&place::fief("release").to_string_lossy(), words);
        command.env("FIEF_ROOT", &self.root);
        command
    }

    /// A pool named after its kind.
    pub(super) fn pool(&self, kind: &str, settings: &[&str]) -> Result<()> {
        let mut create = self.command(&["pool", "create", kind, "--kind", kind]);
        for setting in settings {
            create.args(["--set", setting]);
        }
        quietly(&mut create)
    }

    /// The words of the running guest's hypervisor.
    pub(super) fn hypervisor(&self) -> Result<Vec<String>> {
        let pid = process_with("qemu-system", &self.root)?;
        let words = fs::read(format!("/proc/{pid}/cmdline")).doing(|| "cannot read a command line".into())?;
        Ok(words.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect())
    }

    /// `Rss` of the running guest's supervisor, in KiB (proc(5)).
    pub(super) fn supervisor_memory(&self) -> Result<u64> {
        resident(process_with("supervise", &self.root)?)
    }

    /// What `host/examples/plugin_call.rs` prints.
    pub(super) fn plugin_calls(&self) -> Result<BTreeMap<String, u64>> {
        self.figures("plugin_call", &["default"])
    }

    /// What the sandbox of a pool's plugin takes at most in the calls of `fief pool show`, in KiB (`VmHWM`, proc(5)): the memory of
    /// the plugin, its compiled code as far as it was touched, and the engine.
    pub(super) fn sandbox_peak(&self, pool: &str) -> Result<u64> {
        let figures = self.figures("plugin_call", &[pool, "memory"])?;
        figures.get("sandbox-peak-kib").copied().ok_or_else(|| format!("the sandbox of {pool} has told nothing").into())
    }

    /// What `host/examples/card_place.rs` prints.
    pub(super) fn card_places(&self) -> Result<BTreeMap<String, u64>> {
        self.figures("card_place", &["bench"])
    }

    /// Lines of a name and a number, from an example that works on our root.
    fn figures(&self, example: &str, words: &[&str]) -> Result<BTreeMap<String, u64>> {
        let example = place::target().join("release/examples").join(example);
        let mut call = command(&example.to_string_lossy(), words);
        call.env("FIEF_ROOT", &self.root).env("FIEF_EXECUTABLE", place::fief("release"));
        let said = capture(&mut call)?;
        let pair =
            |line: &str| line.split_once(' ').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        Ok(said.lines().filter_map(pair).collect())
    }

    /// Stops what may run; the folder goes with the bench's.
    pub(super) fn clear(&self) {
        // It may be off, or never have been defined.
        drop(output(&mut self.command(&["stop", "bench"])));
        drop(output(&mut self.command(&["stop", "filling"])));
    }
}

/// `Rss` of a process, in KiB (proc(5)).
pub(super) fn resident(process: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap_or_default();
    let kib = line.split_whitespace().next().and_then(|number| number.parse().ok());
    kib.ok_or_else(|| format!("/proc/{process}/smaps_rollup has no Rss").into())
}
