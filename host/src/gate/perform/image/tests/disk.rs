//! Volumes copied out of pools, back into them, and from one plugin's directory to another's.

use super::*;
use crate::error::Kind;
use crate::gate::operation::{DiskSource, DiskTarget, ForeignImage};
use crate::types::DiskFormat;

const SIZE: u64 = 8 * MIB;
/// Where data lies: at the start, in the middle of nowhere and of a sector, at the very end.
const DATA: [(u64, u64); 3] = [(0, 4096), (3 * MIB + 513, 70_001), (SIZE - 1000, 1000)];

fn source(name: &str, format: ImageFormat) -> DiskSource {
    DiskSource::Image { image: image(name), format, snapshot: None }
}

fn export(host: &Host, name: &str, format: ImageFormat, file: &str, to: DiskFormat) -> Operation {
    Operation::DiskCopy {
        from: source(name, format),
        to: DiskTarget::File { path: host.root.path().canonicalize().unwrap().join(file), format: to },
    }
}

fn perform(host: &mut Host, operation: Operation) -> Result<Outcome, Failure> {
    host.perform_as(&Actor::Operator, operation).map(|(outcome, _)| outcome)
}

/// A volume with data in odd places.
fn furnished(name: &str, format: ImageFormat) -> Host {
    let mut host = Host::ready();
    host.change(create(name, format, SIZE));
    for (at, length) in DATA {
        qemu("qemu-io", &["-f", format.as_str(), "-c", &format!("write -P 0x5a {at} {length}")], &host.path(name));
    }
    host
}

fn same(a: (&Path, &str), b: (&Path, &str)) {
    // QEMU rounds a VHD's size unless it is told not to.
    let options = |(path, format): (&Path, &str)| match format {
        "vhd" => format!("driver=vpc,force_size_calc=current_size,file.filename={}", path.display()),
        _ => format!("driver={format},file.filename={}", path.display()),
    };
    let words = ["compare", "--image-opts", &options(a)];
    qemu("qemu-img", &words, Path::new(&options(b)));
}

fn allocated(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().blocks() * 512
}

#[test]
fn a_volume_goes_out_and_comes_back_in_every_format() {
    for format in [ImageFormat::Raw, ImageFormat::Qcow2] {
        let mut host = furnished("a", format);
        let folder = host.root.path().canonicalize().unwrap();
        for to in DiskFormat::ALL {
            let (name, case) = (format!("out.{}", to.as_str()), format!("{format:?} to {to:?}"));
            let file = folder.join(&name);
            let operation = export(&host, "a", format, &name, to);
            let outcome = perform(&mut host, operation).unwrap();
            assert!(matches!(outcome, Outcome::DiskFile { size, .. } if size.bytes() == SIZE), "{case}: {outcome:?}");
            host.seal();
            same((&host.path("a"), format.as_str()), (&file, to.as_str()));
            assert!(allocated(&file) < 5 * MIB, "{case}: holes were filled");
            let facts = std::fs::metadata(&file).unwrap();
            assert_eq!((facts.uid(), facts.mode() & 0o777), (rustix::process::geteuid().as_raw(), 0o600), "{case}");
            assert_eq!(host.owner("a").0, host.plugin_user(), "{case}");

            // Name and content agree, so it is found out what it is; back in, as either format.
            let detect = Operation::ForeignDetect { path: file.clone() };
            assert_eq!(perform(&mut host, detect).unwrap(), Outcome::Format { format: to }, "{case}");
            for back in [ImageFormat::Raw, ImageFormat::Qcow2] {
                host.perform(create("back", back, SIZE)).unwrap();
                let foreign = ForeignImage { path: file.clone(), format: to, part: None, checksum: None };
                let operation = Operation::DiskCopy {
                    from: DiskSource::File(foreign),
                    to: DiskTarget::Image { image: image("back"), format: back },
                };
                perform(&mut host, operation).unwrap();
                host.seal();
                same((&host.path("a"), format.as_str()), (&host.path("back"), back.as_str()));
                assert!(allocated(&host.path("back")) < 2 * MIB, "{case} and back as {back:?}: holes were filled");
                assert_eq!(host.owner("back"), (host.plugin_user(), 0o600));
                host.change(delete("back"));
            }
        }
        let (done, total) = host.gate.meter().read().unwrap();
        assert_eq!((done, total), (SIZE, SIZE));
        assert_eq!(host.names(), ["a"]);
        let vmdk = std::fs::read(folder.join("out.vmdk")).unwrap();
        assert!(String::from_utf8_lossy(&vmdk[..4096]).contains("SPARSE \"out.vmdk\""));
        assert!(
            !std::fs::read_dir(&folder).unwrap().any(|entry| entry
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with(".fief-"))
        );
    }
}

#[test]
fn a_file_that_is_there_is_never_written_over_and_one_that_was_cut_off_goes() {
    let mut host = furnished("a", ImageFormat::Qcow2);
    let file = host.root.path().join("out");
    std::fs::write(&file, "precious").unwrap();
    let operation = export(&host, "a", ImageFormat::Qcow2, "out", DiskFormat::Raw);
    assert_eq!(perform(&mut host, operation.clone()).unwrap_err().kind, Kind::Conflict);
    host.die_before(&operation);
    host.undo();
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    std::fs::remove_file(&file).unwrap();
    let before = std::fs::read_dir(host.root.path()).unwrap().count();
    host.die_after(&operation).unwrap();
    assert!(file.exists());
    host.undo();
    perform(&mut host, operation).unwrap();
    assert!(file.exists());
    host.undo();
    assert_eq!(std::fs::read_dir(host.root.path()).unwrap().count(), before);
    // A folder that is none, a name that is the gate's own.
    for path in ["/nonexistent/out", "/", "/tmp/.fief-new-x"] {
        let to = DiskTarget::File { path: path.into(), format: DiskFormat::Raw };
        let operation = Operation::DiskCopy { from: source("a", ImageFormat::Qcow2), to };
        assert!(perform(&mut host, operation).is_err(), "{path}");
    }
}

#[test]
fn what_a_snapshot_holds_goes_out_as_it_was() {
    let mut host = furnished("a", ImageFormat::Qcow2);
    host.change(snapshot("a", "before"));
    host.change(copy("a", None, "kept", ImageFormat::Qcow2));
    write(&host.path("a"), ImageFormat::Qcow2, 0x11);
    let DiskSource::Image { image, format, .. } = source("a", ImageFormat::Qcow2) else { panic!() };
    let path = host.root.path().canonicalize().unwrap().join("out.qcow2");
    let operation = Operation::DiskCopy {
        from: DiskSource::Image { image, format, snapshot: Some("before".parse().unwrap()) },
        to: DiskTarget::File { path: path.clone(), format: DiskFormat::Qcow2 },
    };
    perform(&mut host, operation).unwrap();
    host.seal();
    same((&host.path("kept"), "qcow2"), (&path, "qcow2"));
    reads(&host.path("a"), ImageFormat::Qcow2, 0x11);
}

#[test]
fn a_volume_goes_from_one_plugins_directory_to_anothers() {
    let mut host = Host::with(|policy| {
        let mut grants = policy.plugins.values().next().unwrap().clone();
        for grant in grants.directories.values_mut() {
            grant.path.set_file_name("others");
        }
        policy.plugins.insert("q".parse().unwrap(), grants);
    });
    host.perform(Operation::DirectorySpace { plugin: "p".parse().unwrap(), directory: "images".parse().unwrap() })
        .unwrap();
    for (number, (from, to)) in [ImageFormat::Raw, ImageFormat::Qcow2]
        .into_iter()
        .flat_map(|from| [ImageFormat::Raw, ImageFormat::Qcow2].map(|to| (from, to)))
        .enumerate()
    {
        let name = format!("a{number}");
        host.change(create(&name, from, SIZE));
        write(&host.path(&name), from, 0x77);
        let target = ImageRef { plugin: "q".parse().unwrap(), ..image(&name) };
        let make = Operation::ImageCreate {
            image: target.clone(),
            format: to,
            size: ByteSize::from_bytes(SIZE),
            preallocation: Preallocation::Sparse,
            backing: None,
        };
        host.perform_as(&Actor::Plugin("q".parse().unwrap()), make).unwrap();
        let operation = Operation::DiskCopy {
            from: source(&name, from),
            to: DiskTarget::Image { image: target.clone(), format: to },
        };
        assert_eq!(host.perform(operation.clone()).unwrap_err().kind, Kind::Denied, "a plugin copies no disks");
        perform(&mut host, operation).unwrap();
        host.seal();
        let there = host.root.path().join("others").join(&name);
        same((&host.path(&name), from.as_str()), (&there, to.as_str()));
        assert!(allocated(&there) < 2 * MIB, "holes were filled");
        let owner = |path: &Path| std::fs::metadata(path).unwrap().uid();
        if rustix::process::geteuid().is_root() {
            assert_ne!(owner(&host.path(&name)), owner(&there), "each belongs to its own plugin");
        }
        // Onto itself, or a snapshot that is not there: nothing is changed.
        let itself = DiskTarget::Image { image: image(&name), format: from };
        let operation = Operation::DiskCopy { from: source(&name, from), to: itself };
        assert_eq!(perform(&mut host, operation).unwrap_err().kind, Kind::Denied);
        reads(&host.path(&name), from, 0x77);
    }
}
