//! A command on a pseudoterminal, as a person has it: what it shows can be waited for, and typed to.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Ctrl-], which leaves `fief console`.
pub const LEAVE: &str = "\x1d";

pub struct Terminal {
    child: Child,
    keyboard: File,
    shown: Arc<(Mutex<String>, Condvar)>,
    /// How far [`Terminal::shows`] has read.
    seen: usize,
}

impl Terminal {
    pub fn start(mut command: Command) -> Terminal {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudoterminal");
        grantpt(&controller).expect("a pseudoterminal of ours");
        unlockpt(&controller).expect("a pseudoterminal of ours");
        let name = ptsname(&controller, Vec::new()).expect("a pseudoterminal of ours");
        let screen = rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("its other end");
        let again = || screen.try_clone().expect("a second descriptor");
        let child = command.stdin(again()).stdout(again()).stderr(again()).spawn().expect("the command starts");
        drop(command);
        drop(screen);
        let keyboard = File::from(controller);
        let mut output = keyboard.try_clone().expect("a second descriptor");
        let shown = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let sink = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // EIO once the other end is closed (pty(7)).
            while let Ok(length @ 1..) = output.read(&mut piece) {
                let (text, news) = &*sink;
                text.lock().expect("no reader panics").push_str(&String::from_utf8_lossy(&piece[..length]));
                news.notify_all();
            }
        });
        Terminal { child, keyboard, shown, seen: 0 }
    }

    pub fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Waits until `part` is shown, past what was waited for before.
    ///
    /// # Panics
    /// Where it is not, by `deadline`; shows what was.
    #[track_caller]
    pub fn shows(&mut self, part: &str, deadline: Duration) {
        let until = Instant::now() + deadline;
        let (text, news) = &*self.shown;
        let mut text = text.lock().expect("no reader panics");
        loop {
            if let Some(found) = text.get(self.seen..).and_then(|rest| rest.find(part)) {
                self.seen += found + part.len();
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{part:?} was not shown, but:\n{}", &text[self.seen..]);
            text = news.wait_timeout(text, left).expect("no reader panics").0;
        }
    }

    /// All that was shown so far.
    pub fn screen(&self) -> String {
        self.shown.0.lock().expect("no reader panics").clone()
    }

    /// Waits for the command's end.
    #[track_caller]
    pub fn ends(mut self, deadline: Duration) -> ExitStatus {
        crate::eventually("the command on the terminal ends", deadline, || self.child.try_wait().expect("our child"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
