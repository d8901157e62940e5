//! What a unit is: INQUIRY and its pages of vital product data (SPC-4, sections 6.6 and 7.8; SBC-3, section 6.5).

use super::{u16_at, u32_at, u64_at};

/// Pages that are asked for.
pub const SUPPORTED: u8 = 0x00;
pub const IDENTIFICATION: u8 = 0x83;
pub const LIMITS: u8 = 0xb0;
pub const CHARACTERISTICS: u8 = 0xb1;
pub const PROVISIONING: u8 = 0xb2;

/// The standard data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standard {
    /// A block device that is there (peripheral qualifier 0, device type 0).
    pub disk: bool,
    /// There is a unit of any kind behind this number.
    pub there: bool,
    pub vendor: String,
    pub product: String,
}

impl Standard {
    pub fn read(data: &[u8]) -> Option<Self> {
        let first = *data.first()?;
        let text = |from: usize, to: usize| {
            String::from_utf8_lossy(data.get(from..to).unwrap_or_default()).trim_matches(['\0', ' ']).to_owned()
        };
        Some(Standard { disk: first == 0, there: first >> 5 == 0, vendor: text(8, 16), product: text(16, 32) })
    }
}

/// The body of a page of vital product data; none where it is another page.
fn body(data: &[u8], page: u8) -> Option<&[u8]> {
    let length = usize::from(u16_at(data, 2)?);
    let body = data.get(4..)?;
    (*data.get(1)? == page).then(|| &body[..body.len().min(length)])
}

/// Pages that the unit has.
pub fn supported(data: &[u8]) -> Vec<u8> {
    body(data, SUPPORTED).unwrap_or_default().to_vec()
}

/// What names the unit wherever it is seen from (page 83, section 7.8.6), in words that are equal for equal units:
/// `naa.…`, `eui.…`, `t10.…`, `name.…`; sorted.
pub fn designators(data: &[u8]) -> Vec<String> {
    let mut rest = body(data, IDENTIFICATION).unwrap_or_default();
    let mut all = Vec::new();
    while let [codes, kind, _, length, ..] = *rest {
        let Some(value) = rest.get(4..4 + usize::from(length)) else { break };
        rest = &rest[4 + usize::from(length)..];
        // Of the unit itself; others name the port or the target.
        if kind >> 4 & 3 != 0 || value.is_empty() {
            continue;
        }
        let binary = codes & 0x0f == 1;
        match kind & 0x0f {
            1 => all.push(format!("t10.{}", text(value))),
            2 => all.push(format!("eui.{}", hex(value))),
            3 if binary => all.push(format!("naa.{}", hex(value))),
            8 => all.push(format!("name.{}", text(value))),
            _ => {}
        }
    }
    all.sort();
    all.dedup();
    all
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Without the padding; what is no plain character is shown by its number.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|byte| !matches!(byte, 0 | b' ')).map_or(0, |last| last + 1);
    bytes[..end]
        .iter()
        .map(|&byte| if byte.is_ascii_graphic() { char::from(byte).to_string() } else { format!("%{byte:02x}") })
        .collect()
}

/// Page b0: what one command may ask for; 0 where the unit does not say (SBC-3, section 6.5.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Blocks of one read or write.
    pub transfer: u32,
    /// Blocks of one UNMAP; 0: there is no UNMAP.
    pub unmap: u32,
    /// Blocks of one WRITE SAME.
    pub write_same: u64,
}

impl Limits {
    pub fn read(data: &[u8]) -> Self {
        // Offsets are those of the page, its head of four bytes counted.
        let page = if body(data, LIMITS).is_some() { data } else { &[] };
        Limits {
            transfer: u32_at(page, 8).unwrap_or_default(),
            unmap: if u32_at(page, 24).unwrap_or_default() == 0 { 0 } else { u32_at(page, 20).unwrap_or_default() },
            write_same: u64_at(page, 36).unwrap_or_default(),
        }
    }
}

/// Page b1: whether it turns (SBC-3, section 6.5.2).
pub fn rotates(data: &[u8]) -> bool {
    const SOLID: u16 = 1;
    body(data, CHARACTERISTICS).and_then(|body| u16_at(body, 0)).is_some_and(|rate| rate > SOLID)
}

/// Page b2: how blocks are freed (SBC-3, section 6.5.4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Provisioning {
    pub unmap: bool,
    /// WRITE SAME(16) may free blocks.
    pub write_same: bool,
    /// Freed blocks read as zeroes.
    pub zeroed: bool,
}

impl Provisioning {
    pub fn read(data: &[u8]) -> Self {
        let flags = body(data, PROVISIONING).and_then(|body| body.get(1).copied()).unwrap_or_default();
        Provisioning { unmap: flags & 0x80 != 0, write_same: flags & 0x40 != 0, zeroed: flags & 0x1c != 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_named_by_its_own_designators_alone() {
        let mut data = vec![0, 0x83, 0, 0];
        data.extend([0x02, 0x01, 0, 8]);
        data.extend(b"IET 0001");
        data.extend([0x01, 0x03, 0, 8, 0x30, 0, 0, 0, 0, 1, 0, 1]);
        // Of the target port: another on each way to the unit.
        data.extend([0x51, 0x94, 0, 4, 0, 0, 0, 1]);
        // One that is cut short ends the list.
        data.extend([0x01, 0x03, 0, 200, 1]);
        let length = (data.len() - 4) as u16;
        data[2..4].copy_from_slice(&length.to_be_bytes());
        assert_eq!(designators(&data), ["naa.3000000000010001", "t10.IET%200001"]);
        assert!(designators(&[0, 0x80, 0, 0]).is_empty());
    }

    #[test]
    fn limits_are_none_where_the_page_is_short_or_another() {
        assert_eq!(Limits::read(&[0, 0xb0, 0, 4, 0, 0, 0, 0]), Limits::default());
        let mut page = vec![0; 64];
        page[..4].copy_from_slice(&[0, 0xb0, 0, 60]);
        page[20..24].copy_from_slice(&4096_u32.to_be_bytes());
        assert_eq!(Limits::read(&page).unmap, 0, "no descriptors: no UNMAP");
        page[27] = 1;
        assert_eq!(Limits::read(&page).unmap, 4096);
    }

    #[test]
    fn only_a_disk_that_is_there_is_one() {
        let read = |first: u8| Standard::read(&[first; 36]).unwrap();
        assert!(read(0x00).disk);
        assert!(!read(0x0c).disk && read(0x0c).there);
        assert!(!read(0x7f).disk && !read(0x7f).there);
    }
}
