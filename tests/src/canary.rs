//! Looks for bytes that are nobody's to read: in files, in what processes were started with, in what was said.

use std::fs;
use std::path::{Path, PathBuf};

/// Of secrets, in each form in which they could be written down.
pub struct Canary(Vec<Vec<u8>>);

impl Canary {
    /// Secrets that are text.
    pub fn of(secrets: &[&str]) -> Canary {
        let hexadecimal = |text: &&str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        let forms = |text: &&str| {
            let hexadecimal = hexadecimal(text);
            [text.as_bytes().to_vec(), hexadecimal.to_uppercase().into_bytes(), hexadecimal.into_bytes()]
        };
        Canary(secrets.iter().flat_map(forms).collect())
    }

    /// Secrets that are bytes, as hexadecimal: so, in both cases, and as they are.
    pub fn of_bytes(hexadecimal: &[&str]) -> Canary {
        let raw = |text: &str| {
            let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
            (0..text.len()).step_by(2).map(byte).collect::<Vec<u8>>()
        };
        let forms = |text: &&str| [text.as_bytes().to_vec(), text.to_uppercase().into_bytes(), raw(text)];
        Canary(hexadecimal.iter().flat_map(forms).collect())
    }

    #[track_caller]
    pub fn not_in(&self, what: &str, bytes: &[u8]) {
        for form in &self.0 {
            let found = bytes.windows(form.len()).any(|window| window == form);
            assert!(!found, "{} is in {what}", String::from_utf8_lossy(form));
        }
    }

    /// All files below a host's root but these, told from its root.
    #[track_caller]
    pub fn not_in_files(&self, root: &Path, but: &[&str]) {
        let mut folders: Vec<PathBuf> = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let kept = but.iter().any(|but| path == root.join(but));
                if path.is_dir() && !kept {
                    folders.push(path);
                } else if path.is_file() && !kept {
                    self.not_in(&path.display().to_string(), &fs::read(&path).unwrap_or_default());
                }
            }
        }
    }

    /// What any process of this machine was started with, as anyone may read it.
    #[track_caller]
    pub fn not_in_processes(&self) {
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            for file in ["cmdline", "environ"] {
                let bytes = fs::read(entry.path().join(file)).unwrap_or_default();
                self.not_in(&entry.path().join(file).display().to_string(), &bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    use super::*;

    fn found(canary: &Canary, look: impl Fn(&Canary)) -> bool {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look(canary))).is_err()
    }

    #[test]
    fn a_secret_that_lies_about_is_found_in_each_form() {
        let canary = Canary::of(&["secret123456"]);
        for bytes in [&b"x secret123456 y"[..], b"736563726574313233343536"] {
            assert!(found(&canary, |canary| canary.not_in("it", bytes)));
        }
        assert!(!found(&canary, |canary| canary.not_in("it", b"secret12345")));
        assert!(found(&Canary::of_bytes(&["00ff17"]), |canary| canary.not_in("it", &[1, 0, 0xff, 0x17])));
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir(root.path().join("deep")).expect("a folder");
        fs::write(root.path().join("deep/file"), "a secret123456").expect("a file");
        assert!(found(&canary, |canary| canary.not_in_files(root.path(), &[])));
        assert!(!found(&canary, |canary| canary.not_in_files(root.path(), &["deep/file"])));
        // What a process was started with can be read once it runs: some way after it was spawned.
        let mut child = Command::new("cat")
            .env("X", "secret123456")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cat");
        let (mut given, taken) = child.stdin.take().zip(child.stdout.take()).expect("pipes");
        given.write_all(b"runs\n").expect("a line");
        assert_eq!(BufReader::new(taken).lines().next().expect("a line").expect("a line"), "runs");
        assert!(found(&canary, Canary::not_in_processes));
        drop(given);
        child.wait().expect("a child");
    }
}
