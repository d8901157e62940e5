//! Running a program with a deadline, and what it said.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a program that ended said.
#[derive(Debug)]
pub struct Said {
    /// The command line, for messages.
    pub line: String,
    /// None where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Said {
    /// # Panics
    /// Where the exit code is another; shows all that was said.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Said {
        assert_eq!(
            self.code,
            Some(code),
            "exit code of: {}\n--- stdout\n{}\n--- stderr\n{}",
            self.line,
            self.stdout,
            self.stderr
        );
        self
    }

    /// stdout as one JSON document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{} did not print JSON: {error}\n{}", self.line, self.stdout))
    }
}

/// Runs to the end.
///
/// # Panics
/// Where it cannot be started, or has not ended by `deadline`; it is ended then.
#[track_caller]
pub fn run(command: &mut Command, deadline: Duration) -> Said {
    run_reading(command, Stdio::null(), deadline)
}

/// The same, with these bytes on its standard input.
#[track_caller]
pub fn run_given(command: &mut Command, given: &[u8], deadline: Duration) -> Said {
    let mut stdin = tempfile::tempfile().expect("a file for stdin");
    stdin.write_all(given).and_then(|()| stdin.rewind()).expect("a file that we made");
    run_reading(command, stdin.into(), deadline)
}

#[track_caller]
fn run_reading(command: &mut Command, stdin: Stdio, deadline: Duration) -> Said {
    Started::reading(command, stdin).ends(deadline)
}

/// A program that runs beside the test. Ended when dropped.
#[derive(Debug)]
pub struct Started {
    child: Child,
    line: String,
    stdout: File,
    stderr: File,
    started: Instant,
}

impl Started {
    /// # Panics
    /// Where it cannot be started.
    #[track_caller]
    pub fn start(command: &mut Command) -> Started {
        Started::reading(command, Stdio::null())
    }

    #[track_caller]
    fn reading(command: &mut Command, stdin: Stdio) -> Started {
        let line = std::iter::once(command.get_program()).chain(command.get_args());
        let line = line.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        // Files, not pipes: what a command leaves running may hold its output open, and must not hold us.
        let stdout = tempfile::tempfile().expect("a file for stdout");
        let stderr = tempfile::tempfile().expect("a file for stderr");
        command
            .stdin(stdin)
            .stdout(stdout.try_clone().expect("a second descriptor"))
            .stderr(stderr.try_clone().expect("a second descriptor"));
        let started = Instant::now();
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
        Started { child, line, stdout, stderr, started }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("a child that we started").is_some()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Where it has not ended by `deadline` since its start; it is ended then.
    #[track_caller]
    pub fn ends(mut self, deadline: Duration) -> Said {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child that we started") {
                break Some(status);
            }
            if self.started.elapsed() > deadline {
                break None;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = self.started.elapsed();
        let (stdout, stderr) = (read(&mut self.stdout), read(&mut self.stderr));
        let line = self.line.clone();
        let Some(status) = status else {
            panic!("{line} did not end within {} s\n--- stdout\n{stdout}\n--- stderr\n{stderr}", deadline.as_secs());
        };
        Said { line, code: status.code(), stdout, stderr, took }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Over where somebody has waited for its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).expect("a file that we made");
    file.read_to_end(&mut bytes).expect("a file that we made");
    String::from_utf8_lossy(&bytes).into_owned()
}
