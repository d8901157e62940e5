//! By hand: QEMU's monitor, as an operator with a script would, without encryption.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use fief_tests::pair::{At, Net, Side, TARGET, address};
use fief_tests::{Pair, eventually};

use super::guest::MEMORY;
use super::ticks::{Ticks, until_heard};
use super::{LUN, Took, reached, timed};

const PORT: u16 = 4444;
const SOON: Duration = Duration::from_secs(60);

/// QEMU with a guest like fief's. Killed when dropped.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(pair: &Pair, side: Side, folder: &Path, more: &[&str]) -> Qemu {
    let name = side.name();
    let mut qemu = pair[side].namespace().command("qemu-system-x86_64");
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-accel", "tcg"]);
    qemu.args(["-m", &MEMORY.to_string(), "-blockdev"]);
    let portal = address(Net::Storage, At::Storage);
    qemu.arg(format!(
        "driver=iscsi,node-name=disk,transport=tcp,portal={portal}:3260,target={TARGET},lun={LUN},cache.direct=on"
    ));
    qemu.args(["-device", "virtio-blk-pci,drive=disk,bootindex=1", "-device", "virtio-rng-pci"]);
    qemu.arg("-serial").arg(format!("file:{}", folder.join(format!("{name}.serial")).display()));
    qemu.arg("-qmp").arg(format!("unix:{},server=on,wait=off", folder.join(format!("{name}.qmp")).display()));
    qemu.args(more).stdin(Stdio::null());
    Qemu(qemu.spawn().expect("QEMU"))
}

/// Its monitor, as plain as it can be spoken to.
struct Monitor(BufReader<UnixStream>);

impl Monitor {
    fn connect(folder: &Path, side: Side) -> Monitor {
        let path = folder.join(format!("{}.qmp", side.name()));
        let stream = eventually("a monitor", SOON, || UnixStream::connect(&path).ok());
        let mut monitor = Monitor(BufReader::new(stream));
        monitor.tell(r#"{"execute": "qmp_capabilities"}"#);
        monitor
    }

    fn tell(&mut self, line: &str) -> String {
        writeln!(self.0.get_mut(), "{line}").unwrap();
        loop {
            let mut said = String::new();
            assert!(self.0.read_line(&mut said).unwrap() > 0, "the monitor ended after {line}");
            assert!(!said.contains("\"error\": {"), "{line}: {said}");
            if said.contains("\"return\":") {
                return said;
            }
        }
    }

    fn until(&mut self, question: &str, part: &str) {
        let ask = format!(r#"{{"execute": "{question}"}}"#);
        while !self.tell(&ask).contains(part) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

pub fn moves(pair: &Pair, from: Side) -> Took {
    let folder = tempfile::tempdir().expect("a folder");
    let (to, folder) = (from.other(), folder.path());
    let logs = [from, to].map(|side| folder.join(format!("{}.serial", side.name())));
    let source = start(pair, from, folder, &[]);
    until_heard(&logs[0]);
    let ticks = Ticks::listen(logs[0].clone(), logs[1].clone());
    let mut target = None;
    let total = timed(|| {
        let incoming = format!("tcp:{}:{PORT}", reached(to));
        let mut here = Monitor::connect(folder, from);
        target = Some(start(pair, to, folder, &["-incoming", &incoming]));
        let mut there = Monitor::connect(folder, to);
        // No bound of bandwidth, as fief and libvirt have none where nothing is said.
        let free = r#"{"execute": "migrate-set-parameters", "arguments": {"max-bandwidth": 1099511627776}}"#;
        here.tell(free);
        here.tell(&format!(r#"{{"execute": "migrate", "arguments": {{"uri": "{incoming}"}}}}"#));
        here.until("query-migrate", r#""status": "completed""#);
        there.until("query-status", r#""status": "running""#);
        here.tell(r#"{"execute": "quit"}"#);
    });
    drop(source);
    Took { total, pause: ticks.pause() }
}
