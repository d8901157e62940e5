//! A host with a healthy pool, a policy for every hostile plugin, and a directory of loot that they are granted.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fief_tests::command::{self, Said};
use fief_tests::host::target;
use fief_tests::{Census, Host};

/// A command that a hostile plugin holds up ends with its limits, seconds before this. Two processors may be compiling.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// A healthy pool answers in a fraction of this.
const NEIGHBOURLY: Duration = Duration::from_secs(20);

/// Spent by a plugin that never ends; short, so that the tests are.
pub(crate) const SHORT: &str = r#"{ cpu = "300ms", wall = "2s" }"#;
/// For plugins that need their time to do harm.
pub(crate) const LONG: &str = r#"{ cpu = "20s", wall = "40s" }"#;

pub(crate) struct Room {
    pub(crate) host: Host,
}

impl Room {
    /// `plugins` are the ids that policy grants the loot, and their limits.
    pub(crate) fn new(plugins: &[(&str, &str)]) -> Room {
        let host = Host::bare();
        let root = host.root();
        let loot = root.join("loot");
        fs::create_dir_all(loot.join("below")).unwrap();
        fs::write(loot.join("bait"), "bait").unwrap();
        fs::write(root.join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink("/etc", loot.join("link")).unwrap();
        std::os::unix::fs::symlink("../secret", loot.join("near")).unwrap();
        // Open to every user, so that only the sandbox and the gate stand between a plugin and what lies here.
        for path in [root.to_owned(), loot.clone(), loot.join("below"), loot.join("bait"), root.join("secret")] {
            open_to_all(&path);
        }
        fs::write(root.join("policy.toml"), policy(root, plugins)).unwrap();
        let room = Room { host };
        room.install(&wasm("storage_file")).expect_code(0);
        room.host.fief(&["pool", "create", "good", "--kind", "file", "--set", "directory=images"]);
        room.host.fief(&["volume", "create", "good/healthy", "--size", "1MiB"]);
        room
    }

    pub(crate) fn run(&self, words: &[&str]) -> Said {
        command::run(&mut self.host.command(words), PATIENCE)
    }

    pub(crate) fn install(&self, file: &Path) -> Said {
        // What these plugins do ahead of it is another test's.
        self.run(&["plugin", "install", "--untried", &file.to_string_lossy()])
    }

    /// A file of the host's that is not in anyone's way.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("{}-{name}", self.host.namespace().name()));
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Runs words while the neighbour is asked again and again; it has to answer each time.
    pub(crate) fn run_beside_neighbour(&self, words: &[&str]) -> Said {
        std::thread::scope(|scope| {
            let hostile = scope.spawn(|| self.run(words));
            loop {
                let ended = hostile.is_finished();
                self.neighbour_is_well();
                if ended {
                    return hostile.join().unwrap();
                }
            }
        })
    }

    fn neighbour_is_well(&self) {
        let said = command::run(&mut self.host.command(&["volume", "list", "good"]), NEIGHBOURLY).expect_code(0);
        assert!(said.stdout.contains("good/healthy"), "{}", said.stdout);
    }

    pub(crate) fn census(&self) -> Census {
        self.host.census()
    }

    pub(crate) fn is_as(&self, before: &Census) {
        self.host.settles_to(before);
        assert_eq!(fs::read(self.host.root().join("loot/bait")).unwrap(), b"bait");
        assert_eq!(fs::read(self.host.root().join("secret")).unwrap(), b"secret");
    }
}

/// What was built of a plugin, or of an example of `tests/hostile`.
pub(crate) fn wasm(name: &str) -> PathBuf {
    let release = target().join("wasm32-wasip2/release");
    let both = [release.join(format!("{name}.wasm")), release.join(format!("examples/{name}.wasm"))];
    let found = both.iter().find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name}.wasm is not built; `cargo xtask test` builds it")).clone()
}

/// Says what was expected of a command where it went otherwise.
#[track_caller]
pub(crate) fn expect(family: &str, said: Said, code: i32, words: &str) -> Said {
    let shown = |text: &str| text.chars().take(4_000).collect::<String>();
    assert!(
        said.code == Some(code) && said.stderr.contains(words),
        "{family}: expected code {code} and {words:?} of: {}\ncode {:?} after {:?}\n--- stdout\n{}\n--- stderr\n{}",
        said.line,
        said.code,
        said.took,
        shown(&said.stdout),
        shown(&said.stderr)
    );
    said
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = if path.is_dir() { 0o777 } else { 0o666 };
    // The root itself is the operator's: others may look and pass.
    let mode = if path.join("policy.toml").exists() { 0o755 } else { mode };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn policy(root: &Path, plugins: &[(&str, &str)]) -> String {
    let root = root.display();
    let mut text = format!(
        "[plugins.storage-file]\ninterfaces = [\"images\"]\n\
         directories = [{{ name = \"images\", path = \"{root}/images\", access = \"read-write\" }}]\n"
    );
    for (id, limits) in plugins {
        text += &format!(
            "[plugins.{id}]\ninterfaces = [\"images\", \"bridges\"]\nbridges = [\"fief-*\"]\nlimits = {limits}\n\
             directories = [{{ name = \"loot\", path = \"{root}/loot\", access = \"read-write\" }}]\n"
        );
    }
    for section in ["pools", "networks"] {
        text += &format!("[{section}]\n");
        if section == "pools" {
            text += "file = \"storage-file\"\n";
        }
        for (id, _) in plugins {
            text += &format!("{id} = \"{id}\"\n");
        }
    }
    text
}
