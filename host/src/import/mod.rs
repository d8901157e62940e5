//! Guests of other hosts: their definitions read, and what of them carries over. Pure: no file is opened here, no
//! program is run, and nothing of what a file says is executed.
//!
//! ```text
//!   guest file of Xen ─▸ xen     ┐
//!   virsh dumpxml     ─▸ libvirt ├▸ Guest + Report ─▸ translate ─▸ a domain's definition, the disks to copy
//!   OVF, OVA          ─▸ ovf     ┘      line by line: taken, changed, left out, and what is to do in the guest
//! ```

pub mod guest;
pub mod libvirt;
pub mod ovf;
pub mod report;
pub mod translate;
mod value;
pub mod xen;
mod xml;

pub use guest::Guest;
pub use report::{Remark, Report, Sort};

/// What a file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Xen,
    Libvirt,
    Ovf,
    Ova,
}

/// Longest definition that is read, in bytes; an OVA's disks are read elsewhere.
pub const TEXT_MAX: u64 = crate::config::reader::FILE_MAX;
/// How much of a file [`kind`] looks at, in bytes: a tar's first header.
pub const HEAD: usize = 512;

/// Told by the file's first [`HEAD`] bytes.
pub fn kind(head: &[u8]) -> Kind {
    // POSIX.1-1988 ustar: the magic at 257; GNU writes a blank after it.
    if head.get(257..262) == Some(b"ustar") {
        return Kind::Ova;
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    if !text.starts_with(b"<") {
        return Kind::Xen;
    }
    let has = |word: &[u8]| text.windows(word.len()).any(|window| window == word);
    if has(b"<Envelope") || has(b":Envelope") || has(b"/ovf/") { Kind::Ovf } else { Kind::Libvirt }
}

#[cfg(test)]
#[path = "tests/mod.rs"]
mod tests;
