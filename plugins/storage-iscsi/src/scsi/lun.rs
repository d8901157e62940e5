//! Numbers of logical units, as eight bytes (SAM-5, section 4.7).

/// Most numbers that one listing is taken of: sixteen thousand units, the whole flat space.
pub const MOST: usize = 16384;

/// Peripheral addressing below 256, flat space above: what initiators use. None past what flat space has.
pub fn encode(number: u32) -> Option<[u8; 8]> {
    let number = u16::try_from(number).ok().filter(|number| *number < 1 << 14)?;
    let [high, low] = number.to_be_bytes();
    let high = if number < 256 { 0 } else { 0x40 | high };
    Some([high, low, 0, 0, 0, 0, 0, 0])
}

/// None for a unit behind another, or of a way of counting that we do not speak.
pub fn decode(lun: [u8; 8]) -> Option<u32> {
    if lun[2..].iter().any(|&byte| byte != 0) {
        return None;
    }
    match lun[0] >> 6 {
        0 if lun[0] == 0 => Some(u32::from(lun[1])),
        1 => Some(u32::from(lun[0] & 0x3f) << 8 | u32::from(lun[1])),
        _ => None,
    }
}

/// The answer to REPORT LUNS (SPC-4, section 6.33): units by number, smallest first.
pub fn listed(data: &[u8]) -> Vec<u32> {
    let length = super::u32_at(data, 0).unwrap_or_default() as usize;
    let entries = data.get(8..).unwrap_or_default();
    let entries = &entries[..entries.len().min(length)];
    let mut all: Vec<u32> = entries.chunks_exact(8).filter_map(|entry| decode(entry.try_into().ok()?)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_again() {
        for number in [0, 1, 255, 256, 16383] {
            assert_eq!(decode(encode(number).unwrap()), Some(number));
        }
        assert_eq!(encode(256).unwrap()[..2], [0x41, 0]);
        assert_eq!(encode(16384), None);
        assert_eq!(decode([0, 1, 0, 2, 0, 0, 0, 0]), None, "a unit behind a unit");
        assert_eq!(decode([0xc1, 1, 0, 0, 0, 0, 0, 0]), None, "a well-known unit");
    }

    #[test]
    fn a_listing_that_lies_about_its_length_is_read_as_far_as_it_goes() {
        let mut data = vec![0, 0, 0xff, 0xff, 0, 0, 0, 0];
        data.extend(encode(2).unwrap());
        data.extend(encode(0).unwrap());
        data.extend([0, 1]);
        assert_eq!(listed(&data), [0, 2]);
        assert!(listed(&[]).is_empty());
    }
}
