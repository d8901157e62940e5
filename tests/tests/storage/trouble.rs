//! Guests on storage that gets into trouble, and out of it again: what they see, what an operator sees, and that nothing
//! is lost.
//!
//! ```text
//!   begin ─▸ a guest that is paused:  `fief list` says so, and why ─▸ end ─▸ it goes on by itself
//!            one that is told of it:  its writes fail                     ─▸ they succeed again
//! ```

use std::path::Path;
use std::time::Duration;

use fief_tests::witness::{Kind, Temper};
use fief_tests::{Host, Witness, eventually};

/// Until trouble is noticed, or over: the longest wait of fief's own between two tries is 30 s.
pub const PATIENCE: Duration = Duration::from_secs(150);

/// What becomes of requests that fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    Pause,
    Report,
}

impl OnError {
    fn word(self) -> &'static str {
        match self {
            OnError::Pause => "pause",
            OnError::Report => "report",
        }
    }
}

/// A guest that counts on its disk, and what is to become of it in trouble.
pub struct Subject {
    pub witness: Witness,
    on_error: OnError,
}

impl Subject {
    /// Defined and started on that volume, which the server has in `image`.
    pub fn start(host: &Host, name: &str, volume: &str, image: &Path, on_error: OnError) -> Subject {
        Subject::of(host, name, volume, image, on_error, Temper::TriesAgain)
    }

    /// The same; it reads each write back, too.
    pub fn start_careful(host: &Host, name: &str, volume: &str, image: &Path, on_error: OnError) -> Subject {
        Subject::of(host, name, volume, image, on_error, Temper::ReadsBack)
    }

    fn of(host: &Host, name: &str, volume: &str, image: &Path, on_error: OnError, temper: Temper) -> Subject {
        let witness = Witness::on(host, name, volume, image, temper, &[]);
        let shown = host.fief(&["show", name]).stdout;
        let definition = host.root().join("definition.toml");
        std::fs::write(&definition, format!("on-storage-error = \"{}\"\n{shown}", on_error.word())).unwrap();
        host.fief(&["delete", name, "--yes"]);
        host.fief(&["create", "-f", &definition.to_string_lossy()]);
        host.fief(&["start", name]);
        witness.goes_on(2);
        Subject { witness, on_error }
    }

    fn failures(&mut self) -> usize {
        self.witness.look().iter().filter(|seen| seen.kind == Kind::Failed).count()
    }
}

/// All subjects see the trouble as their domains say, an operator sees it too, and once it is over they go on.
pub fn passes(host: &Host, subjects: &mut [Subject], what: &str, begin: impl FnOnce(), end: impl FnOnce()) {
    let failed: Vec<usize> = subjects.iter_mut().map(Subject::failures).collect();
    eprintln!("trouble: {what}");
    begin();
    for (subject, failed) in subjects.iter_mut().zip(failed) {
        let name = subject.witness.name().to_owned();
        match subject.on_error {
            OnError::Pause => {
                // It may be let go on for a moment, where the storage says that it is well.
                eventually(&format!("{what}: {name} stands still"), PATIENCE, || {
                    let listed = host.fief(&["list", "-o", "wide"]).stdout;
                    let line = listed.lines().find(|line| line.contains(&name))?;
                    (line.contains("paused: storage") && line.contains("since")).then_some(())
                });
            }
            OnError::Report => {
                eventually(&format!("{what}: {name} is told"), PATIENCE, || {
                    (subject.failures() > failed).then_some(())
                });
                assert_eq!(host.state(&name), "running", "{what}");
            }
        }
        // What fails may alternate with what does not.
        let said = eventually(&format!("{what}: it is told of {name}"), PATIENCE, || storage(host, &name));
        eprintln!("  {name}: {said}");
    }
    end();
    go_on(host, subjects, what);
}

/// All subjects wait for an answer, so that it is no matter what is to become of errors; an operator sees it, and once it
/// is over they go on.
pub fn waited_out(host: &Host, subjects: &mut [Subject], what: &str, begin: impl FnOnce(), end: impl FnOnce()) {
    let failed: Vec<usize> = subjects.iter_mut().map(Subject::failures).collect();
    let names: Vec<String> = subjects.iter().map(|subject| subject.witness.name().to_owned()).collect();
    let over = || {
        for name in &names {
            assert_eq!(host.state(name), "running", "{what}: {name}");
        }
        end();
    };
    stand_still(host, subjects, what, begin, over);
    assert_eq!(subjects.iter_mut().map(Subject::failures).collect::<Vec<_>>(), failed, "{what}: a guest saw an error");
}

/// No subject writes any more, an operator is told why, and once it is over they go on.
pub fn stand_still(host: &Host, subjects: &mut [Subject], what: &str, begin: impl FnOnce(), end: impl FnOnce()) {
    eprintln!("trouble: {what}");
    begin();
    let before: Vec<_> = subjects
        .iter()
        .map(|subject| {
            let name = subject.witness.name();
            let said = eventually(&format!("{what}: it is told of {name}"), PATIENCE, || storage(host, name));
            eprintln!("  {name}: {said}");
            subject.witness.on_disk()
        })
        .collect();
    std::thread::sleep(Duration::from_secs(3));
    for (subject, before) in subjects.iter().zip(before) {
        let name = subject.witness.name();
        assert_eq!(subject.witness.on_disk(), before, "{what}: {name}");
        assert!(storage(host, name).is_some(), "{what}: {name} is said to be well");
    }
    end();
    go_on(host, subjects, what);
}

/// What an operator is shown of a domain's storage that is in trouble.
pub fn storage(host: &Host, name: &str) -> Option<String> {
    let shown = host.fief(&["show", name]).stdout;
    shown.lines().find(|line| line.starts_with("# storage: ")).map(str::to_owned)
}

fn go_on(host: &Host, subjects: &mut [Subject], what: &str) {
    for subject in &mut *subjects {
        subject.witness.goes_on_within(3, PATIENCE);
        subject.witness.is_sound();
    }
    for subject in subjects {
        let name = subject.witness.name().to_owned();
        eventually(&format!("{what}: {name} is well"), PATIENCE, || {
            let listed = host.listed(&name);
            (listed["state"] == "running" && listed["storage"].is_null()).then_some(())
        });
    }
}

/// Whether `fief list` says that a guest stands still because of its storage.
pub fn waits(host: &Host, name: &str) -> bool {
    let listed = host.listed(name);
    listed["state"] == "paused" && listed["storage"]["waits"] == true
}
