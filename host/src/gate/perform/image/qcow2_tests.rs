//! The parser against images of the real tool, and against bytes that no tool makes.

use std::cell::Cell;
use std::process::Command;

use proptest::prelude::*;

use super::*;

/// Bytes in memory that count how much was read of them.
struct Memory {
    bytes: Vec<u8>,
    read: Cell<usize>,
}

impl Memory {
    fn new(bytes: Vec<u8>) -> Self {
        Memory { bytes, read: Cell::new(0) }
    }
}

impl Source for Memory {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.bytes.len());
        let found = self.bytes[start..start.saturating_add(length).min(self.bytes.len())].to_vec();
        self.read.set(self.read.get() + found.len());
        Ok(found)
    }
}

fn made(arguments: &[&str], snapshots: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let mut create = Command::new("qemu-img");
    create.args(["create", "-q", "-f", "qcow2"]).args(&arguments[..arguments.len() - 1]).arg(&path);
    assert!(create.arg(arguments[arguments.len() - 1]).status().unwrap().success());
    for name in snapshots {
        // Opened without its backing image, which is not there.
        let open = format!(
            r#"json:{{"driver":"qcow2","file":{{"driver":"file","filename":"{}"}},"backing":null}}"#,
            path.display()
        );
        assert!(Command::new("qemu-img").args(["snapshot", "-c", name, &open]).status().unwrap().success());
    }
    std::fs::read(path).unwrap()
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

#[test]
fn images_of_both_versions_are_read() {
    for compat in ["compat=0.10", "compat=1.1", "compat=1.1,extended_l2=on", "cluster_size=512", "cluster_size=2M"] {
        let image = Memory::new(made(&["-o", compat, "-u", "-b", "sub/base.img", "-F", "raw", "5M"], &["one", "two"]));
        let header = header(&image).unwrap();
        assert_eq!(header.virtual_size, 5 << 20, "{compat}");
        let backing = Backing { name: "sub/base.img".into(), format: Some("raw".into()) };
        assert_eq!(header.backing, Some(backing), "{compat}");
        let all = snapshots(&image, &header).unwrap();
        let names: Vec<_> = all.iter().map(|s| (s.id.as_str(), s.name.as_str())).collect();
        assert_eq!(names, [("1", "one"), ("2", "two")], "{compat}");
        assert!(all.iter().all(|s| s.created > 1_600_000_000));
    }
}

#[test]
fn an_image_that_stands_alone_has_no_backing() {
    let header = header(&Memory::new(made(&["1G"], &[]))).unwrap();
    assert_eq!((header.virtual_size, header.backing, header.corrupt), (1 << 30, None, false));
}

#[test]
fn what_fief_does_not_open_is_refused_by_name() {
    let good = made(&["1M"], &[]);
    let cases: [(&str, usize, &[u8]); 10] = [
        ("does not start", 0, b"QFI"),
        ("a version other", 4, &4u32.to_be_bytes()),
        ("length of the backing", 8, &[0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 4, 0]),
        ("size of a cluster", 20, &60u32.to_be_bytes()),
        ("above 2^63", 24, &(1u64 << 63).to_be_bytes()),
        ("encrypted", 32, &2u32.to_be_bytes()),
        ("number of snapshots", 60, &u32::MAX.to_be_bytes()),
        ("in another file", 72, &4u64.to_be_bytes()),
        ("newer than fief", 72, &(1u64 << 63).to_be_bytes()),
        ("length of the header", 100, &105u32.to_be_bytes()),
    ];
    for (word, at, value) in cases {
        let mut bytes = good.clone();
        put(&mut bytes, at, value);
        if word == "does not start" {
            bytes[3] = 0;
        }
        let refused = header(&Memory::new(bytes)).unwrap_err().to_string();
        assert!(refused.contains(word), "{word}: {refused}");
    }
}

#[test]
fn a_header_cut_anywhere_is_refused() {
    let whole = made(&["-u", "-b", "base", "-F", "raw", "1M"], &[]);
    let end = 512;
    for length in 0..end {
        if let Ok(header) = header(&Memory::new(whole[..length].to_vec())) {
            assert_eq!(header.backing.unwrap().name, "base", "cut at {length}");
        }
    }
    assert!(header(&Memory::new(whole[..HEADER_V3 - 1].to_vec())).is_err());
}

/// Most is read by a header whose cluster is the largest, followed by the longest table.
const READ_MAX: usize = (2 << 20) + (SNAPSHOT_TABLE_MAX as usize) + (1 << 20);

fn parses(bytes: Vec<u8>) {
    let image = Memory::new(bytes);
    let _ = is_qcow2(&image);
    if let Ok(header) = header(&image) {
        assert!(header.virtual_size <= i64::MAX as u64);
        if let Ok(all) = snapshots(&image, &header) {
            assert!(all.len() <= SNAPSHOTS_MAX as usize);
        }
    }
    assert!(image.read.get() <= READ_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut image = MAGIC.to_vec();
        image.extend(&bytes);
        parses(image);
        parses(bytes);
    }

    #[test]
    fn no_damage_to_a_real_image_makes_the_parser_panic(
        damage in proptest::collection::vec((0usize..700, any::<u8>()), 1..12),
        cut in 0usize..4096,
    ) {
        static IMAGE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let image = IMAGE.get_or_init(|| {
            made(&["-o", "cluster_size=512", "-u", "-b", "base", "-F", "qcow2", "64K"], &["a", "b"])
        });
        let mut bytes = image.clone();
        for (at, value) in damage {
            bytes[at] = value;
        }
        parses(bytes.clone());
        bytes.truncate(cut);
        parses(bytes);
    }

    #[test]
    fn no_numbers_in_a_header_make_the_parser_panic(
        version in 2u32..4, backing in any::<(u64, u32)>(), bits in 0u32..64, size in any::<u64>(),
        count in prop_oneof![any::<u32>(), 0u32..10], offset in prop_oneof![any::<u64>(), 0u64..300],
        features in prop_oneof![any::<u64>(), 0u64..32], length in prop_oneof![any::<u32>(), 96u32..200],
        rest in proptest::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..600),
    ) {
        let mut bytes = vec![0; HEADER_V3];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 4, &version.to_be_bytes());
        put(&mut bytes, 8, &backing.0.to_be_bytes());
        put(&mut bytes, 16, &backing.1.to_be_bytes());
        put(&mut bytes, 20, &bits.to_be_bytes());
        put(&mut bytes, 24, &size.to_be_bytes());
        put(&mut bytes, 60, &count.to_be_bytes());
        put(&mut bytes, 64, &offset.to_be_bytes());
        put(&mut bytes, 72, &features.to_be_bytes());
        put(&mut bytes, 100, &length.to_be_bytes());
        bytes.extend(rest);
        parses(bytes);
    }
}
