//! A disk of 2 GiB with 200 MiB in it, to the other host: by fief, by `rsync -S`, by `qemu-img convert` through NBD. What
//! fief calls done is on disk, so the others' times end with a `sync` of what they wrote.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fief_tests::pair::Side;
use fief_tests::{Namespace, Pair, command, eventually};

use super::{reached, say, timed};

const SIZE: u64 = 2 << 30;
const SOON: Duration = Duration::from_secs(300);
const RSYNC: u16 = 8730;
const NBD: u16 = 10809;

/// A server that ends when it is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn measure(pair: &Pair, rounds: usize, turn: &dyn Fn(&str) -> bool) {
    let folder = tempfile::tempdir_in(pair.a().root()).expect("a folder");
    let source = folder.path().join("source.img");
    std::fs::File::create(&source).and_then(|file| file.set_len(SIZE)).expect("a disk");
    let writes = (0..8).flat_map(|place| ["-c".to_owned(), format!("write -q -P 165 {}M 25M", place * 256)]);
    run(Command::new("qemu-io").args(["-f", "raw"]).args(writes).arg(&source));
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}: static");
        let copy = folder.path().join("there.img");
        if turn("fief") {
            pair.a().volume_with("default/big", "2GiB", &source);
            pair.a().fief(&["create", "big", "--memory", "64MiB", "--disk", "default/big"]);
            let ours = timed(|| drop(pair.a().fief(&["migrate", "big", Side::B.name()])));
            say("static", "fief", "total", ours);
            pair.b().fief(&["delete", "big", "--volumes", "--yes"]);
        }
        if turn("rsync") {
            say("static", "rsync", "total", rsync(pair, &source, &copy, folder.path()));
        }
        if turn("qemu-img") {
            say("static", "qemu-img", "total", convert(pair, &source, &copy));
        }
    }
}

fn run(command: &mut Command) {
    command::run(command, SOON).expect_code(0);
}

fn listens(namespace: &Namespace, port: u16) {
    eventually("it listens", SOON, || {
        namespace.run(&format!("ss -Hltn sport = :{port}")).stdout.contains(&port.to_string()).then_some(())
    });
}

fn rsync(pair: &Pair, source: &Path, copy: &Path, folder: &Path) -> Duration {
    let settings = folder.join("rsyncd.conf");
    let module = format!(
        "use chroot = no\nuid = root\ngid = root\npid file = {folder}/rsyncd.pid\n[there]\npath = {folder}\nread only = no\n",
        folder = folder.display()
    );
    std::fs::write(&settings, module).expect("settings");
    let mut daemon = pair.b().namespace().command("rsync");
    daemon.args(["--daemon", "--no-detach", "--port", &RSYNC.to_string(), "--config"]).arg(&settings);
    let daemon = Server(daemon.stdin(Stdio::null()).spawn().expect("rsync"));
    listens(pair.b().namespace(), RSYNC);
    let took = timed(|| {
        let there = format!("rsync://{}:{RSYNC}/there/there.img", reached(Side::B));
        run(pair.a().namespace().command("rsync").args(["--sparse"]).arg(source).arg(there));
        run(Command::new("sync").arg(copy));
    });
    drop(daemon);
    std::fs::remove_file(copy).expect("a copy");
    let _ = std::fs::remove_file(folder.join("rsyncd.pid"));
    took
}

fn convert(pair: &Pair, source: &Path, copy: &Path) -> Duration {
    let mut server = None;
    let took = timed(|| {
        std::fs::File::create(copy).and_then(|file| file.set_len(SIZE)).expect("a disk");
        let mut nbd = pair.b().namespace().command("qemu-nbd");
        nbd.args(["-f", "raw", "--bind", &reached(Side::B), "--port", &NBD.to_string(), "--discard=unmap"]).arg(copy);
        server = Some(Server(nbd.stdin(Stdio::null()).spawn().expect("qemu-nbd")));
        listens(pair.b().namespace(), NBD);
        let mut convert = pair.a().namespace().command("qemu-img");
        convert.args(["convert", "-n", "--target-is-zero", "-f", "raw", "-O", "raw"]).arg(source);
        run(convert.arg(format!("nbd://{}:{NBD}", reached(Side::B))));
        run(Command::new("sync").arg(copy));
    });
    drop(server);
    std::fs::remove_file(copy).expect("a copy");
    took
}
