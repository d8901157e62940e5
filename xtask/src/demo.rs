//! The first hour in one command: each step is shown as it would be typed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::build;
use crate::command::{Doing, Result, capture, is_root, line, output, remove_tree};
use crate::guest::{initramfs, kernel};
use crate::place;
use crate::setup::{self, Purpose};

/// What becomes of the machine once it has spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Keep,
    Delete,
}

/// The guest has booted, found its disk and its card, and spoken: 3 s on an idle machine, a minute on a busy one.
const GUEST_SPEAKS: Duration = Duration::from_secs(120);
/// The guest's last word before it hands the console over.
const LAST_WORD: &str = "fief-guest: ready";

const DOMAIN: &str = "demo";

pub(crate) fn run(after: After) -> Result<()> {
    let started = Instant::now();
    setup::all(Purpose::Demo)?;
    println!("Building fief and its plugins …");
    let demo = Demo { fief: build::host("debug")?, root: place::target().join("demo"), step: 0 };
    build::plugins()?;
    demo.play(after, started)
}

struct Demo {
    fief: PathBuf,
    root: PathBuf,
    step: u32,
}

impl Demo {
    fn play(mut self, after: After, started: Instant) -> Result<()> {
        self.clear()?;
        self.write_policy()?;
        let shown = self.bring_up();
        // Whatever happened, nothing is left behind unless it was asked for.
        match (shown, after) {
            (Ok(()), After::Keep) => self.how_to_go_on(),
            (Ok(()), After::Delete) => {
                self.tear_down()?;
                println!(
                    "\nDone in {} s; nothing of it is left. `cargo xtask demo --keep` leaves it running.",
                    started.elapsed().as_secs()
                );
            }
            (Err(trouble), _) => {
                for log in ["console.log", "supervisor.log"] {
                    self.show_end_of(log);
                }
                if let Err(more) = self.clear() {
                    eprintln!("while clearing up: {more}");
                }
                return Err(trouble);
            }
        }
        Ok(())
    }

    fn bring_up(&mut self) -> Result<()> {
        println!(
            "\nThree plugins; each holds what {} grants it, and no more.",
            self.root.join("policy.toml").display()
        );
        for plugin in build::PLUGINS {
            self.fief(&["plugin", "install", &place::plugin(plugin).to_string_lossy()])?;
        }
        println!("\nA place for disks, served by the plugin storage-file, and a disk in it.");
        self.fief(&["pool", "create", "default", "--kind", "file", "--set", "directory=images"])?;
        self.fief(&["volume", "create", "default/demo", "--size", "1GiB"])?;
        if is_root() {
            println!("\nA network of the host's own, served by network-host-only: a bridge, DHCP, and no way out.");
            self.fief(&["network", "create", "lab", "--kind", "host-only", "--set", "address=10.77.0.1/24"])?;
        } else {
            println!("\nA bridge needs root; without it, the card is on QEMU's own network, through network-user.");
            self.fief(&["network", "create", "lab", "--kind", "user"])?;
        }
        println!("\nA machine with that disk and a card on that network.");
        let definition = self.write_domain()?;
        self.fief(&["run", "-f", &definition.to_string_lossy()])?;
        println!("\nWhat it says on its console:");
        self.listen()?;
        println!("\nHow it looks from outside.");
        self.fief(&["list"])
    }

    /// Follows the guest's console until its last word, and checks what it said.
    fn listen(&mut self) -> Result<()> {
        let mut command = self.command(&["logs", DOMAIN, "--console", "--follow"]);
        self.announce(&command);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().doing(|| "cannot start fief".into())?;
        let heard = hear(&mut child);
        child.kill()?;
        child.wait()?;
        let heard = heard?;
        for wanted in ["fief-guest: disk /dev/vda 1 GiB mounted", "fief-guest: address ", " answers"] {
            if !heard.iter().any(|line| line.contains(wanted)) {
                return Err(format!("the guest did not say {wanted:?}").into());
            }
        }
        Ok(())
    }

    fn tear_down(&mut self) -> Result<()> {
        println!("\nAll of it goes again.");
        self.fief(&["stop", DOMAIN])?;
        self.fief(&["delete", DOMAIN, "--volumes", "--yes"])?;
        self.fief(&["network", "delete", "lab"])?;
        self.fief(&["pool", "delete", "default"])?;
        remove_tree(&self.root)
    }

    fn how_to_go_on(&self) {
        let fief = self.fief.display();
        println!(
            "\nIt runs. How to go on:\n\
             \n  export FIEF_ROOT={root}\
             \n  {fief} console {DOMAIN}         its shell; Ctrl-] leaves\
             \n  {fief} show {DOMAIN}            its definition\
             \n  {fief} network leases lab    who has which address\
             \n  {fief} stop {DOMAIN}            pull the plug\
             \n  {fief} delete {DOMAIN} --volumes --yes && {fief} network delete lab\
             \n\n`cargo xtask demo` starts over, and leaves nothing behind.",
            root = self.root.display(),
        );
    }

    /// Removes what a demo before this one left, running or not.
    fn clear(&self) -> Result<()> {
        if !self.root.exists() {
            return Ok(());
        }
        // Each may not be there; what then still holds the folder's things is told by the last one.
        for words in [&["stop", DOMAIN][..], &["delete", DOMAIN, "--volumes", "--yes"]] {
            output(&mut self.command(words))?;
        }
        if self.root.join("networks/lab").exists() {
            capture(&mut self.command(&["network", "delete", "lab"]))?;
        }
        remove_tree(&self.root)
    }

    fn fief(&mut self, words: &[&str]) -> Result<()> {
        let mut command = self.command(words);
        self.announce(&command);
        crate::command::run(&mut command)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = crate::command::command(&self.fief.to_string_lossy(), words);
        command.env("FIEF_ROOT", &self.root);
        command
    }

    fn announce(&mut self, command: &Command) {
        self.step += 1;
        let line = line(command);
        let short = line.strip_prefix(&*self.fief.with_file_name("").to_string_lossy()).unwrap_or(&line);
        println!("{:>3}. {short}", self.step);
    }

    fn write_policy(&self) -> Result<()> {
        let images = self.root.join("images");
        fs::create_dir_all(&images).doing(|| format!("cannot make {}", images.display()))?;
        let policy = format!(
            r#"# What each plugin may do; without a line here, nothing.
[plugins.storage-file]
interfaces = ["images"]
directories = [{{ name = "images", path = "{images}", access = "read-write" }}]

[plugins.network-bridge]
interfaces = ["bridges"]
bridges = ["fief-*"]

[plugins.network-host-only]
interfaces = ["bridges"]
bridges = ["fief-*"]

[plugins.network-user]

# Which plugin serves which kind.
[pools]
file = "storage-file"

[networks]
bridge = "network-bridge"
host-only = "network-host-only"
user = "network-user"
"#,
            images = images.display()
        );
        fs::write(self.root.join("policy.toml"), policy)?;
        Ok(())
    }

    fn write_domain(&self) -> Result<PathBuf> {
        let file = self.root.join("demo.toml");
        let definition = format!(
            r#"name = "{DOMAIN}"
memory = "256MiB"
vcpus = 1

[boot]
kernel = "{kernel}"
initrd = "{initrd}"
cmdline = "console=ttyS0 quiet fief.name={DOMAIN}"

[[disk]]
volume = "default/{DOMAIN}"

[[card]]
network = "lab"
"#,
            kernel = kernel::vmlinuz().display(),
            initrd = initramfs::file().display()
        );
        fs::write(&file, definition)?;
        Ok(file)
    }

    fn show_end_of(&self, log: &str) {
        let path = self.root.join("domains").join(DOMAIN).join(log);
        if let Ok(text) = fs::read_to_string(&path) {
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("--- {}", path.display());
            lines[lines.len().saturating_sub(20)..].iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Shows the guest's lines as they come, until its last word.
fn hear(child: &mut Child) -> Result<Vec<String>> {
    let Some(stdout) = child.stdout.take() else { return Err("the console has no output".into()) };
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(std::result::Result::ok) {
            if send.send(String::from_utf8_lossy(&line).trim().to_owned()).is_err() {
                return;
            }
        }
    });
    let deadline = Instant::now() + GUEST_SPEAKS;
    let mut heard = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = receive
            .recv_timeout(left)
            .map_err(|_| format!("the guest did not say {LAST_WORD:?} within {} s", GUEST_SPEAKS.as_secs()))?;
        if line.starts_with("fief-guest: ") {
            println!("       {line}");
            heard.push(line);
        }
        if heard.last().is_some_and(|line| line == LAST_WORD) {
            return Ok(heard);
        }
    }
}
