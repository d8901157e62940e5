//! Disks of other hosts, copied into images.

use super::*;
use crate::error::Kind;
use crate::gate::operation::{DiskSource, DiskTarget, FilePart, ForeignImage};
use crate::types::DiskFormat;

/// A file of another host: not in a granted directory, and not readable for the plugin's user.
fn foreign(host: &Host, name: &str, format: DiskFormat) -> ForeignImage {
    ForeignImage { path: host.root.path().join(name), format, part: None, checksum: None }
}

fn made(host: &Host, name: &str, format: DiskFormat, options: &[&str]) -> ForeignImage {
    let image = foreign(host, name, format);
    let raw = host.root.path().join("raw.tmp");
    std::fs::write(&raw, []).unwrap();
    std::fs::File::options().write(true).open(&raw).unwrap().set_len(8 * MIB).unwrap();
    write(&raw, ImageFormat::Raw, 0x5a);
    let raw = raw.to_str().unwrap().to_owned();
    let name = if format == DiskFormat::Vhd { "vpc" } else { format.as_str() };
    let words = [&["convert", "-f", "raw", "-O", name], options, &[&raw]].concat();
    qemu("qemu-img", &words, &image.path);
    std::fs::set_permissions(&image.path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    image
}

fn inspect(host: &mut Host, source: &ForeignImage) -> Result<ImageFacts, Failure> {
    match host.perform_as(&Actor::Operator, Operation::ForeignInspect { source: source.clone() })?.0 {
        Outcome::Image { facts } => Ok(facts),
        other => panic!("{other:?}"),
    }
}

fn copy(source: &ForeignImage, name: &str, format: ImageFormat) -> Operation {
    Operation::DiskCopy { from: DiskSource::File(source.clone()), to: DiskTarget::Image { image: image(name), format } }
}

fn fill(host: &mut Host, name: &str, source: &ForeignImage) -> Result<ImageFacts, Failure> {
    let facts = inspect(host, source)?;
    host.perform(create(name, facts.format, facts.virtual_size.bytes())).unwrap();
    match host.perform_as(&Actor::Operator, copy(source, name, facts.format))?.0 {
        Outcome::DiskCopied { size, allocated } => Ok(ImageFacts { virtual_size: size, allocated, ..facts }),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_disk_of_every_format_becomes_a_volume() {
    let mut host = Host::ready();
    let stream = ["-o", "subformat=streamOptimized"];
    for (number, (format, options, becomes)) in [
        (DiskFormat::Raw, &[][..], ImageFormat::Raw),
        (DiskFormat::Qcow2, &[][..], ImageFormat::Qcow2),
        (DiskFormat::Vmdk, &[][..], ImageFormat::Qcow2),
        (DiskFormat::Vmdk, &stream[..], ImageFormat::Qcow2),
        (DiskFormat::Vhdx, &[][..], ImageFormat::Qcow2),
        (DiskFormat::Vdi, &[][..], ImageFormat::Qcow2),
        (DiskFormat::Vhd, &["-o", "force_size=on"][..], ImageFormat::Qcow2),
        (DiskFormat::Vhd, &["-o", "force_size=on,subformat=fixed"][..], ImageFormat::Qcow2),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("volume{number}");
        let source = made(&host, "old", format, options);
        let facts = fill(&mut host, &name, &source).unwrap();
        host.seal();
        assert_eq!((facts.format, facts.virtual_size.bytes()), (becomes, 8 * MIB), "{format:?} {options:?}");
        assert_eq!(host.owner(&name), (host.plugin_user(), 0o600));
        assert!(facts.allocated.bytes() < 2 * MIB, "holes were filled: {facts:?}");
        reads(&host.path(&name), becomes, 0x5a);
        assert!(source.path.exists(), "the source was taken");
    }
    assert_eq!(host.names().len(), 8, "something was left: {:?}", host.names());
}

#[test]
fn a_disk_is_found_in_an_archive_and_summed_on_the_way() {
    let mut host = Host::ready();
    let disk = made(&host, "old", DiskFormat::Vmdk, &["-o", "subformat=streamOptimized"]);
    let bytes = std::fs::read(&disk.path).unwrap();
    let archive = host.root.path().join("archive");
    std::fs::write(&archive, [&[b'x'; 1536][..], &bytes, &[b'y'; 700]].concat()).unwrap();
    let part = Some(FilePart { offset: 1536, length: bytes.len() as u64 });
    let sum = crate::types::Digest::of(&bytes).to_string().parse().unwrap();
    let mut source = ForeignImage { path: archive, format: DiskFormat::Vmdk, part, checksum: Some(sum) };
    assert_eq!(fill(&mut host, "a", &source).unwrap().virtual_size.bytes(), 8 * MIB);
    host.seal();
    reads(&host.path("a"), ImageFormat::Qcow2, 0x5a);

    source.checksum = Some(format!("sha1:{}", "0".repeat(40)).parse().unwrap());
    let failure = fill(&mut host, "b", &source).unwrap_err();
    assert!(failure.to_string().contains("the package is damaged"), "{failure}");
    host.undo();
    assert_eq!(host.names(), ["a"]);
    source.part = Some(FilePart { offset: 1536, length: bytes.len() as u64 + 701 });
    assert!(inspect(&mut host, &source).unwrap_err().to_string().contains("cut off"));
}

fn at_of_vdi(_: &[u8]) -> usize {
    76
}

fn at_of_vhd(disk: &[u8]) -> usize {
    disk.len() - 512 + 60
}

/// The flags behind the size of a block, which the metadata table says the place of.
fn at_of_vhdx(disk: &[u8]) -> usize {
    let table = disk.windows(8).position(|window| window == b"metadata").unwrap();
    let id = [0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b];
    let entry = table + disk[table..].windows(16).position(|window| window == id).unwrap();
    let offset = u32::from_le_bytes(disk[entry + 16..entry + 20].try_into().unwrap());
    table + offset as usize + 4
}

#[test]
fn a_disk_that_needs_another_file_is_refused_before_a_tool_sees_it() {
    let mut host = Host::ready();
    let secret = host.root.path().join("secret");
    std::fs::write(&secret, vec![7; 65536]).unwrap();
    // A VMDK that is a list of files, and one whose header says so with a size of zero.
    let list = foreign(&host, "list", DiskFormat::Vmdk);
    let extent = format!("RW 128 FLAT \"{}\" 0", secret.display());
    std::fs::write(
        &list.path,
        format!(
            "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n{extent}\n"
        ),
    )
    .unwrap();
    let sized = made(&host, "sized", DiskFormat::Vmdk, &[]);
    let mut bytes = std::fs::read(&sized.path).unwrap();
    bytes[12..20].fill(0);
    std::fs::write(&sized.path, &bytes).unwrap();
    for source in [&list, &sized] {
        assert!(inspect(&mut host, source).unwrap_err().to_string().contains("list of other files"));
    }
    // The difference to another: all that is not in it would read as zeroes.
    let child = made(&host, "child", DiskFormat::Vmdk, &[]);
    let text = String::from_utf8_lossy(&std::fs::read(&child.path).unwrap()).into_owned();
    assert!(text.contains("parentCID=ffffffff"));
    let mut bytes = std::fs::read(&child.path).unwrap();
    let at = bytes.windows(18).position(|window| window == b"parentCID=ffffffff").unwrap();
    bytes[at + 10..at + 18].copy_from_slice(b"12345678");
    std::fs::write(&child.path, &bytes).unwrap();
    assert!(fill(&mut host, "a", &child).unwrap_err().to_string().contains("difference to another disk"));
    host.undo();
    for (format, at, bytes) in [
        // The type of a VDI, that of a VHD in its footer, the parameters and the log of a VHDX.
        (DiskFormat::Vdi, at_of_vdi as fn(&[u8]) -> usize, 4_u32.to_le_bytes()),
        (DiskFormat::Vhd, at_of_vhd, 4_u32.to_be_bytes()),
        (DiskFormat::Vhdx, at_of_vhdx, 2_u32.to_le_bytes()),
    ] {
        let child =
            made(&host, "child", format, if format == DiskFormat::Vhd { &["-o", "force_size=on"] } else { &[] });
        let mut disk = std::fs::read(&child.path).unwrap();
        let at = at(&disk);
        disk[at..at + bytes.len()].copy_from_slice(&bytes);
        std::fs::write(&child.path, &disk).unwrap();
        let failure = inspect(&mut host, &child).unwrap_err();
        assert!(failure.to_string().contains("difference to another disk"), "{format:?}: {failure}");
    }
    let open = made(&host, "open", DiskFormat::Vhdx, &[]);
    let mut disk = std::fs::read(&open.path).unwrap();
    for header in [64 << 10, 128 << 10] {
        disk[header + 48] = 1;
    }
    std::fs::write(&open.path, &disk).unwrap();
    assert!(inspect(&mut host, &open).unwrap_err().to_string().contains("not closed cleanly"));
    // A qcow2 image on another.
    let backed = foreign(&host, "backed", DiskFormat::Qcow2);
    let words = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", secret.to_str().unwrap()];
    qemu("qemu-img", &words, &backed.path);
    assert!(inspect(&mut host, &backed).unwrap_err().to_string().contains("stands on another image"));
    assert!(host.names().is_empty(), "{:?}", host.names());
}

#[test]
fn a_source_is_a_file_or_a_device_at_the_end_of_a_way_without_links() {
    let mut host = Host::ready();
    let at = |name: &str| host.root.path().join(name);
    std::fs::write(at("disk"), vec![1; 4096]).unwrap();
    std::os::unix::fs::symlink(at("disk"), at("link")).unwrap();
    std::os::unix::fs::symlink(host.root.path(), at("inner")).unwrap();
    std::fs::write(at("empty"), "").unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    for (name, kind) in [
        ("link", Kind::Denied),
        ("inner/disk", Kind::Denied),
        ("pipe", Kind::Denied),
        ("images", Kind::Denied),
        ("missing", Kind::NotFound),
        ("empty", Kind::Usage),
    ] {
        let source = foreign(&host, name, DiskFormat::Raw);
        assert_eq!(inspect(&mut host, &source).unwrap_err().kind, kind, "{name}");
    }
    for path in ["/dev/zero", "/proc/self/fd/0", "relative"] {
        let source = ForeignImage { path: path.into(), ..foreign(&host, "disk", DiskFormat::Raw) };
        assert!(inspect(&mut host, &source).is_err(), "{path}");
    }
}

#[test]
fn no_plugin_reads_a_file_of_the_hosts() {
    let mut host = Host::ready();
    let source = made(&host, "old", DiskFormat::Raw, &[]);
    host.perform(create("a", ImageFormat::Raw, MIB)).unwrap();
    let detect = Operation::ForeignDetect { path: source.path.clone() };
    for operation in [copy(&source, "a", ImageFormat::Raw), detect, Operation::ForeignInspect { source }] {
        assert_eq!(host.perform(operation).unwrap_err().kind, Kind::Denied);
    }
}

#[test]
fn a_fill_that_was_cut_off_goes_with_its_image() {
    let mut host = Host::ready();
    let source = made(&host, "old", DiskFormat::Vmdk, &[]);
    host.perform(create("a", ImageFormat::Qcow2, 8 * MIB)).unwrap();
    host.die_after(&copy(&source, "a", ImageFormat::Qcow2)).unwrap();
    assert_eq!(host.names().iter().filter(|name| !name.starts_with(".fief-")).count(), 1);
    host.undo();
    assert!(host.names().is_empty(), "{:?}", host.names());
}

#[test]
fn garbage_is_refused_in_every_format() {
    let mut host = Host::ready();
    for (number, bytes) in [
        vec![0; 100],
        b"KDMV".to_vec(),
        [b"KDMV".to_vec(), vec![0xff; 600]].concat(),
        b"QFI\xfb".to_vec(),
        vec![0xff; 70_000],
        [b"vhdxfile".to_vec(), vec![0xff; 400_000]].concat(),
        [vec![0xff; 1000], b"conectix".to_vec(), vec![0xff; 504]].concat(),
        [vec![0; 64], vec![0x7f, 0x10, 0xda, 0xbe, 1, 0, 1, 0], vec![0; 4], vec![1, 0, 0, 0], vec![0xff; 400]].concat(),
    ]
    .into_iter()
    .enumerate()
    {
        for format in DiskFormat::ALL.into_iter().filter(|format| *format != DiskFormat::Raw) {
            let source = foreign(&host, &format!("garbage{number}"), format);
            std::fs::write(&source.path, &bytes).unwrap();
            assert_eq!(inspect(&mut host, &source).unwrap_err().kind, Kind::Usage, "{number} as {format:?}");
        }
    }
}
