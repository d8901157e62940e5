//! The basic header segment that opens every PDU (RFC 7143, section 11.2.1).
//!
//! ```text
//!   0  opcode   1-3 flags   4 AHS words   5-7 data length   8-15 LUN   16-19 task tag   20-47 by opcode
//! ```

/// Bytes of the basic header segment.
pub const BHS: usize = 48;

/// A tag or number that stands for none.
pub const NONE: u32 = u32::MAX;

/// "Immediate delivery" (section 11.2.1.1): the command takes no number of its own.
pub const IMMEDIATE: u8 = 0x40;
/// The last, or only, PDU of a sequence.
pub const FINAL: u8 = 0x80;

/// What an initiator sends (section 11.2.1.2).
pub mod request {
    pub const NOP_OUT: u8 = 0x00;
    pub const COMMAND: u8 = 0x01;
    pub const TASK_MANAGEMENT: u8 = 0x02;
    pub const LOGIN: u8 = 0x03;
    pub const TEXT: u8 = 0x04;
    pub const DATA_OUT: u8 = 0x05;
    pub const LOGOUT: u8 = 0x06;
}

/// What a target sends.
pub mod response {
    pub const NOP_IN: u8 = 0x20;
    pub const RESPONSE: u8 = 0x21;
    pub const TASK_MANAGEMENT: u8 = 0x22;
    pub const LOGIN: u8 = 0x23;
    pub const TEXT: u8 = 0x24;
    pub const DATA_IN: u8 = 0x25;
    pub const LOGOUT: u8 = 0x26;
    pub const READY_TO_TRANSFER: u8 = 0x31;
    pub const ASYNC: u8 = 0x32;
    pub const REJECT: u8 = 0x3f;
}

/// A header, written or read field by field; all numbers are big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header(pub [u8; BHS]);

impl Header {
    pub fn new(opcode: u8, flags: u8) -> Self {
        let mut bytes = [0; BHS];
        bytes[0] = opcode;
        bytes[1] = flags;
        Header(bytes)
    }

    /// Without the bit for immediate delivery.
    pub fn opcode(&self) -> u8 {
        self.0[0] & 0x3f
    }

    pub fn flags(&self) -> u8 {
        self.0[1]
    }

    pub fn byte(&self, at: usize) -> u8 {
        self.0[at]
    }

    pub fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }

    pub fn u32(&self, at: usize) -> u32 {
        u32::from_be_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    /// The logical unit, as it stands on the wire (SAM-5, section 4.7).
    pub fn lun(&self) -> [u8; 8] {
        let mut lun = [0; 8];
        lun.copy_from_slice(&self.0[8..16]);
        lun
    }

    /// The initiator task tag.
    pub fn tag(&self) -> u32 {
        self.u32(16)
    }

    /// Bytes of additional header segments.
    pub fn additional(&self) -> usize {
        usize::from(self.0[4]) * 4
    }

    /// Bytes of the data segment, without padding.
    pub fn data_length(&self) -> usize {
        usize::from(self.0[5]) << 16 | usize::from(self.0[6]) << 8 | usize::from(self.0[7])
    }

    #[must_use]
    pub fn put(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    #[must_use]
    pub fn put_u16(self, at: usize, number: u16) -> Self {
        self.put(at, &number.to_be_bytes())
    }

    #[must_use]
    pub fn put_u32(self, at: usize, number: u32) -> Self {
        self.put(at, &number.to_be_bytes())
    }

    #[must_use]
    pub fn tagged(self, tag: u32) -> Self {
        self.put_u32(16, tag)
    }

    /// The length of a data segment; our own are far below its 24 bits.
    #[must_use]
    pub fn with_data_length(self, length: usize) -> Self {
        let length = (length as u32).to_be_bytes();
        self.put(5, &length[1..])
    }
}
