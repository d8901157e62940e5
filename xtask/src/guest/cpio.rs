//! An initramfs: a cpio archive in the "newc" form that the kernel reads
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

pub(crate) const DIRECTORY: u32 = 0o040_755;
pub(crate) const PROGRAM: u32 = 0o100_755;
pub(crate) const FILE: u32 = 0o100_644;

#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// `name` is relative to the root; each directory stands before what is in it.
    pub(crate) fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        self.entry(self.entries, name, mode, content);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry(0, "TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, inode: u32, name: &str, mode: u32, content: &[u8]) {
        let (links, size, name_size) = (1, content.len(), name.len() + 1);
        // inode mode uid gid links mtime size; device numbers, twice; length of the name; checksum
        let header = format!(
            "070701{inode:08x}{mode:08x}{:08x}{:08x}{links:08x}{:08x}{size:08x}{:08x}{:08x}{:08x}{:08x}{name_size:08x}{:08x}",
            0, 0, 0, 0, 0, 0, 0, 0
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    /// Header with name, and content, each end on a multiple of four.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_header_of_110_characters_and_padded_parts() {
        let mut archive = Archive::default();
        archive.add("init", PROGRAM, b"hello");
        let bytes = archive.finish();
        assert_eq!(&bytes[..14], b"07070100000001");
        assert_eq!(&bytes[110..115], b"init\0");
        assert_eq!(&bytes[116..121], b"hello");
        assert_eq!(&bytes[124..130], b"070701");
        assert_eq!(bytes.len() % 4, 0);
    }
}
