//! Disks that another process serves, here nbdkit: it says to each new connection what size its file has.

use std::process::{Child, Command, Stdio};

use super::*;
use crate::storage::Served;

/// Ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Bench {
    /// Serves a file where the disk in that place is looked for.
    fn serve(&self, place: usize, path: &std::path::Path) -> Server {
        let folder = self.folder().join("served");
        std::fs::create_dir_all(&folder).unwrap();
        let socket = folder.join(format!("disk{place}.sock"));
        let _ = std::fs::remove_file(&socket);
        let mut command = Command::new("nbdkit");
        command.args(["-f", "--exit-with-parent", "-U"]).arg(&socket).arg("file").arg(path);
        let server = Server(command.stdin(Stdio::null()).spawn().expect("nbdkit is not installed"));
        let until = Instant::now() + SOON;
        while std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o777)).is_err() {
            assert!(Instant::now() < until, "nbdkit does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }
}

fn served(generation: u64) -> Served {
    Served { volume: "node1".parse().unwrap(), generation }
}

fn disk(name: &str) -> Disk {
    let volume = format!("default/{name}").parse().unwrap();
    Disk { volume, device: DiskDevice::Disk, bus: DiskBus::Virtio, read_only: false }
}

#[tokio::test]
async fn a_guest_boots_from_a_served_disk_that_grows_while_it_runs() {
    let mut bench = Bench::new();
    let path = bench.file("boot.raw", &image("from afar", Then::Halt));
    let _server = bench.serve(0, &path);
    bench.definition.disks.push(disk("node1"));
    bench.disks.push(BlockSource { way: Way::Served(served(7)), read_only: false });
    bench.start().unwrap();
    let (monitor, _events) = bench.connect().await;
    let serial = bench.serial();
    monitor.resume().await.unwrap();
    hear(serial, "from afar").await;

    let size = |mib| ByteSize::from_mib(mib);
    let failure = monitor.grow(0, size(8)).await.unwrap_err();
    assert!(failure.to_string().contains("Cannot grow NBD nodes"), "{failure}");
    for mib in [8, 16, 32] {
        File::options().write(true).open(&path).unwrap().set_len(size(mib).bytes()).unwrap();
        assert!(monitor.sees_served(0, &served(7), size(mib)).await.unwrap());
        assert!(!monitor.sees_served(0, &served(7), size(mib)).await.unwrap(), "it is shown once");
    }
    assert_eq!(monitor.status().await.unwrap(), RunState::Running);
}

#[tokio::test]
async fn a_served_disk_is_plugged_into_a_running_machine() {
    let mut bench = Bench::new().boots("here", Then::Halt);
    let path = bench.file("more.raw", &[0; 1 << 20]);
    bench.start().unwrap();
    let (monitor, _events) = bench.connect().await;
    let _server = bench.serve(1, &path);
    let source = BlockSource { way: Way::Served(served(1)), read_only: true };
    let disk = Disk { read_only: true, ..disk("more") };
    monitor.plug_disk(1, &disk, source, None).await.unwrap();
    assert!(monitor.has(crate::hypervisor::Device::Disk(1)).await.unwrap());
}
