//! Smallest guest: one sector of real-mode code that prints a line on the first serial port. It runs where no kernel
//! does: under a KVM that is itself emulated, and in milliseconds.

use std::io::Write;
use std::path::Path;

/// What becomes of it after its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Halts with interrupts off, for ever.
    Halt,
    /// Powers off by ACPI: SLP_EN in PM1a_CNT (ACPI 6.5, 4.8.3.2.1), where SeaBIOS puts it on q35.
    PowerOff,
    /// Pulls the processor's reset line through the keyboard's controller (8042, command 0xfe).
    Reboot,
    /// Says on pvpanic's port that its kernel panicked (docs/specs/pvpanic of QEMU), then halts.
    Panic,
    /// Writes this to port 0xf4 (`isa-debug-exit`: QEMU ends with 2N+1).
    Exit(u8),
}

/// `text` is ASCII, short enough for the sector.
pub fn code(text: &str, then: Then) -> [u8; 512] {
    let mut sector = [0; 512];
    // Loaded at 0x7c00 (BIOS boot specification 1.01, 6.5.1).
    let start: &[u8] = &[
        0xfa, //             cli
        0x31, 0xc0, //       xor ax, ax
        0x8e, 0xd8, //       mov ds, ax
        0xbe, 0x00, 0x7d, // mov si, 0x7d00       where the text is
        0xba, 0xf8, 0x03, // mov dx, 0x3f8        first serial port, data
        // next:
        0xac, //             lodsb
        0x84, 0xc0, //       test al, al
        0x74, 0x12, //       jz done
        0x88, 0xc4, //       mov ah, al
        0x83, 0xc2, 0x05, // add dx, 5            line status
        // wait:
        0xec, //             in al, dx
        0xa8, 0x20, //       test al, 0x20        room for a byte
        0x74, 0xfb, //       jz wait
        0x83, 0xea, 0x05, // sub dx, 5
        0x88, 0xe0, //       mov al, ah
        0xee, //             out dx, al
        0xeb, 0xe9, //       jmp next
              // done:
    ];
    sector[..start.len()].copy_from_slice(start);
    let end: &[u8] = match then {
        Then::Halt => &[],
        Then::PowerOff => &[0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef], // mov dx, 0x604; mov ax, 0x2000; out dx, ax
        Then::Reboot => &[0xb0, 0xfe, 0xe6, 0x64],                     // mov al, 0xfe; out 0x64, al
        Then::Panic => &[0xba, 0x05, 0x05, 0xb0, 0x01, 0xee],          // mov dx, 0x505; mov al, 1; out dx, al
        Then::Exit(code) => &[0xb0, code, 0xe6, 0xf4],                 // mov al, code; out 0xf4, al
    };
    let halt = [0xf4, 0xeb, 0xfd]; // hlt; jmp to it
    let place = start.len();
    sector[place..place + end.len()].copy_from_slice(end);
    sector[place + end.len()..place + end.len() + halt.len()].copy_from_slice(&halt);
    let line = format!("{text}\r\n");
    sector[0x100..0x100 + line.len()].copy_from_slice(line.as_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// Prints `text`, then counts for ever, and writes each number to sector 1 of the first disk and after that of the
/// second, by BIOS calls, which return once a disk has it: at no moment is the first disk's number more than one above
/// the second's, nor below it.
pub fn pair(text: &str) -> [u8; 512] {
    let mut sector = [0; 512];
    let start: &[u8] = &[
        0x31, 0xc0, //                   xor ax, ax
        0x8e, 0xd8, 0x8e, 0xc0, //       mov ds, ax; mov es, ax
        0x8e, 0xd0, 0xbc, 0x00, 0x7c, // mov ss, ax; mov sp, 0x7c00
        0xbe, 0x00, 0x7d, //             mov si, 0x7d00     where the text is
        // next:
        0xac, //                         lodsb
        0x84, 0xc0, //                   test al, al
        0x74, 0x12, //                   jz count
        0x88, 0xc4, //                   mov ah, al
        // wait:
        0xba, 0xfd, 0x03, //             mov dx, 0x3fd      first serial port, line status
        0xec, 0xa8, 0x20, //             in al, dx; test al, 0x20
        0x74, 0xf8, //                   jz wait
        0x88, 0xe0, //                   mov al, ah
        0xba, 0xf8, 0x03, 0xee, //       mov dx, 0x3f8; out dx, al
        0xeb, 0xe9, //                   jmp next
        // count:
        0x66, 0xff, 0x06, 0x00, 0x80, // inc dword [0x8000]
        0xb2, 0x80, 0xe8, 0x07, 0x00, // mov dl, 0x80; call write
        0xb2, 0x81, 0xe8, 0x02, 0x00, // mov dl, 0x81; call write
        0xeb, 0xef, //                   jmp count
        // write:                        extended write of the packet below (BIOS EDD 3.0, 43h)
        0xb4, 0x43, 0x30, 0xc0, //       mov ah, 0x43; xor al, al
        0xbe, 0xa0, 0x7d, //             mov si, 0x7da0
        0xcd, 0x13, 0xc3, //             int 0x13; ret
    ];
    sector[..start.len()].copy_from_slice(start);
    let line = format!("{text}\r\n");
    sector[0x100..0x100 + line.len()].copy_from_slice(line.as_bytes());
    // One sector, from 0x0000:0x8000, to sector 1.
    sector[0x1a0..0x1b0].copy_from_slice(&[16, 0, 1, 0, 0x00, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// A disk of 1 MiB that starts with it.
pub fn write(path: &Path, text: &str, then: Then) {
    let mut file = std::fs::File::create(path).expect("a file for a boot sector");
    file.write_all(&code(text, then)).expect("room for a boot sector");
    file.set_len(1 << 20).expect("room for a boot sector");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::Duration;

    #[test]
    fn qemu_runs_it() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk.img");
        write(&disk, "hello from a sector", Then::Exit(3));
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg", "-serial", "stdio"]);
        qemu.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
        qemu.arg("-drive").arg(format!("file={},format=raw,if=virtio", disk.display()));
        let said = crate::command::run(&mut qemu, Duration::from_secs(30)).expect_code(7);
        assert_eq!(said.stdout.trim(), "hello from a sector");
    }
}
