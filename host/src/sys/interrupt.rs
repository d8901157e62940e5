#![allow(unsafe_code)]
//! An operator who breaks off a long command (^C), as something that the work looks for between two steps: so that
//! what was begun is taken back by whoever began it, and not by the next command.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// What breaks a command off: ^C, `kill`, a terminal that goes away.
const SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

extern "C" fn note(signal: libc::c_int) {
    if ASKED.swap(true, Ordering::Relaxed) {
        // The second time is meant: what is left then, the next command takes back.
        // SAFETY: both are async-signal-safe (signal-safety(7)). The signal is held back until this returns, and then
        // does what it does by itself, which is to end the process.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
}

/// From now on a first such signal is told by [`check`]; a second one ends the process as ever. One that the caller was
/// started to ignore (nohup(1)) stays ignored.
pub fn watch() {
    for signal in SIGNALS {
        // SAFETY: the structure is plain data, for which zeroes are the documented default; the handler touches one
        // atomic, and calls what a handler may.
        unsafe {
            let mut before: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &raw mut before) == 0 && before.sa_sigaction != libc::SIG_IGN {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = note as *const () as libc::sighandler_t;
                action.sa_flags = libc::SA_RESTART;
                libc::sigaction(signal, &raw const action, std::ptr::null_mut());
            }
        }
    }
}

/// # Errors
/// Where the operator has broken it off.
pub fn check() -> io::Result<()> {
    if ASKED.load(Ordering::Relaxed) { Err(io::Error::other("it was broken off")) } else { Ok(()) }
}
