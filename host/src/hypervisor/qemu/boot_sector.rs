//! Disk images that hold nothing but a boot sector: for the accelerator's probe, and for tests, which so have a guest
//! in a tenth of a second without any operating system.

use crate::sys::guest_code;

/// SeaBIOS reads no boot sector from a disk that is shorter than one cylinder.
const IMAGE_SIZE: usize = 1 << 20;
const TEXT_MAX: usize = guest_code::PRINTER_ACTION - guest_code::PRINTER_TEXT - 1;

/// What the guest does once it has printed its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Halt,
    /// Writes the value to isa-debug-exit; QEMU ends with exit code `(value << 1) | 1`.
    Exit(u8),
    PowerOff,
    Reset,
    /// Reports a panic through pvpanic.
    Panic,
    /// Sends back each byte that comes in on the serial port.
    Echo,
}

/// A raw disk image that boots from BIOS, prints `text` (cut to 366 bytes) on the first serial port in real mode, and
/// then does as `then` says.
pub fn image(text: &str, then: Then) -> Vec<u8> {
    let mut image = padded(guest_code::printer());
    let text = &text.as_bytes()[..text.len().min(TEXT_MAX)];
    image[guest_code::PRINTER_TEXT..guest_code::PRINTER_TEXT + text.len()].copy_from_slice(text);
    let (action, value) = match then {
        Then::Halt => (0, 0),
        Then::Exit(value) => (1, value),
        Then::PowerOff => (2, 0),
        Then::Reset => (3, 0),
        Then::Panic => (4, 0),
        Then::Echo => (5, 0),
    };
    image[guest_code::PRINTER_ACTION] = action;
    image[guest_code::PRINTER_ACTION + 1] = value;
    image
}

/// The probe's disk: it goes through a kernel's entry into long mode and ends with [`PROBE_EXIT`].
pub fn probe_image() -> Vec<u8> {
    padded(guest_code::probe())
}

/// QEMU's exit code when the probe's guest got through.
pub const PROBE_EXIT: i32 = ((guest_code::PROBE_VALUE as i32) << 1) | 1;

fn padded(sector: [u8; 512]) -> Vec<u8> {
    let mut image = vec![0; IMAGE_SIZE];
    image[..sector.len()].copy_from_slice(&sector);
    image
}
