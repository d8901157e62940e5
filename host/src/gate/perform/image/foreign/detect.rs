//! What a file of the operator's is, where nobody says. A guest writes every byte of a raw disk, and what it wrote must
//! never be read as an image of another format: so content alone decides nothing. Name and content have to agree, and
//! where they do not, the operator is asked.

use super::part::{Part, Unfit};
use super::{vdi, vhd, vhdx, vmdk};
use crate::error::{Failure, Result};
use crate::types::DiskFormat;

/// Bytes that every magic lies in.
const START: usize = 68;
const QCOW2: &[u8] = b"QFI\xfb";

/// What the content looks like; none where it says nothing, as that of most raw disks.
pub(super) fn looks_like(disk: &Part<'_>) -> Result<Option<DiskFormat>, Unfit> {
    let start = disk.start(START)?;
    let formats = [
        (start.starts_with(QCOW2), DiskFormat::Qcow2),
        (start.starts_with(vmdk::MAGIC) || start.starts_with(vmdk::DESCRIPTOR), DiskFormat::Vmdk),
        (start.starts_with(vhdx::SIGNATURE), DiskFormat::Vhdx),
        (vdi::is(&start), DiskFormat::Vdi),
        (start.starts_with(vhd::COOKIE) || vhd::is(disk), DiskFormat::Vhd),
    ];
    Ok(formats.into_iter().find(|(is, _)| *is).map(|(_, format)| format))
}

/// The format of a file called `name` whose content looks like `content`.
///
/// # Errors
/// `Usage` where the two do not agree.
pub(super) fn agreed(name: &str, content: Option<DiskFormat>) -> Result<DiskFormat> {
    let named = DiskFormat::of_name(name);
    let choose = |one: DiskFormat, other: DiskFormat| {
        format!("say --format {} or --format {}, whichever it is", one.as_str(), other.as_str())
    };
    match content {
        None if named == DiskFormat::Raw => Ok(named),
        Some(content) if content == named => Ok(named),
        None => Err(Failure::usage(format!("it is named as {}, and its content is not", named.as_str()))
            .hint(choose(named, DiskFormat::Raw))),
        Some(content) => {
            Err(Failure::usage(format!("its content looks like {}, and its name does not say so", content.as_str()))
                .hint(choose(content, named)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_content_have_to_agree() {
        use DiskFormat::{Qcow2, Raw, Vhd, Vhdx, Vmdk};
        let agreed = |name: &str, content| agreed(name, content).map_err(|failure| failure.hint.unwrap());
        for (name, content, format) in [
            ("disk.img", None, Raw),
            ("disk", None, Raw),
            ("disk.raw", None, Raw),
            ("debian-12.iso", None, Raw),
            ("web.QCOW2", Some(Qcow2), Qcow2),
            ("web.vmdk", Some(Vmdk), Vmdk),
            ("web.vhdx", Some(Vhdx), Vhdx),
            ("web.vhd", Some(Vhd), Vhd),
        ] {
            assert_eq!(agreed(name, content), Ok(format), "{name}");
        }
        // A raw disk in which a guest has written another format's header is not taken for one.
        assert_eq!(agreed("disk.img", Some(Qcow2)).unwrap_err(), "say --format qcow2 or --format raw, whichever it is");
        assert_eq!(agreed("disk.raw", Some(Vmdk)).unwrap_err(), "say --format vmdk or --format raw, whichever it is");
        assert_eq!(agreed("web.qcow2", None).unwrap_err(), "say --format qcow2 or --format raw, whichever it is");
        assert_eq!(
            agreed("web.qcow2", Some(Vmdk)).unwrap_err(),
            "say --format vmdk or --format qcow2, whichever it is"
        );
    }
}
