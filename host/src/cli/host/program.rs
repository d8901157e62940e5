//! Asks a program for its version. It changes nothing, gets an empty environment, and has a moment to answer.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::error::{Context, Failure, Result};

/// A version is said in milliseconds; a program on a file system that hangs never says it.
const DEADLINE: Duration = Duration::from_secs(5);
/// Of a program's answer, in bytes.
const ANSWER_MAX: u64 = 64 << 10;

/// What the program prints on stdout.
///
/// # Errors
/// `NotFound` where there is no such file, `TimedOut` where it does not end, else where it fails.
pub(super) fn ask(program: &Path, arguments: &[&str]) -> Result<String> {
    let shown = program.display();
    if !program.exists() {
        return Err(Failure::not_found(format!("there is no {shown}")));
    }
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context(|| format!("cannot run {shown}"))?;
    let (done, answer) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stdout.take(ANSWER_MAX).read_to_end(&mut bytes);
            // The other end is gone where the deadline has passed.
            let _ = done.send(read.map(|_| bytes));
        });
    }
    let Ok(bytes) = answer.recv_timeout(DEADLINE) else {
        let _ = child.kill();
        let _ = child.wait();
        let seconds = DEADLINE.as_secs();
        return Err(Failure::new(crate::error::Kind::TimedOut, format!("{shown} gave no answer in {seconds} s")));
    };
    let bytes = bytes.context(|| format!("cannot read what {shown} says"))?;
    let status = child.wait().context(|| format!("cannot wait for {shown}"))?;
    if !status.success() {
        return Err(Failure::other(format!("{shown} {} failed: {status}", arguments.join(" "))));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first line of the answer to `--version`: from its first digit to the next blank.
pub(super) fn version(program: &Path) -> Result<String> {
    let text = ask(program, &["--version"])?;
    let line = text.lines().next().unwrap_or_default();
    let words = line.split_whitespace().map(|word| word.trim_start_matches('v'));
    let version = words.into_iter().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    Ok(version.unwrap_or(line).trim_end_matches([',', ')']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use std::os::unix::fs::PermissionsExt;

    fn script(folder: &Path, text: &str) -> std::path::PathBuf {
        let path = folder.join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    #[test]
    fn a_version_is_found_in_what_programs_say_of_themselves() {
        let folder = tempfile::tempdir().unwrap();
        for (says, version_found) in [
            ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", "7.2.22"),
            ("Dnsmasq version 2.90  Copyright (c) 2000-2024 Simon Kelley", "2.90"),
            ("nftables v1.0.6 (Lester Gooch #5)", "1.0.6"),
            ("no number", "no number"),
        ] {
            let path = script(folder.path(), &format!("echo '{says}'"));
            assert_eq!(version(&path).unwrap(), version_found);
        }
    }

    #[test]
    fn a_program_that_is_absent_or_fails_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ask(&folder.path().join("none"), &[]).unwrap_err().kind, Kind::NotFound);
        assert_eq!(ask(&script(folder.path(), "exit 3"), &[]).unwrap_err().kind, Kind::Other);
    }
}
