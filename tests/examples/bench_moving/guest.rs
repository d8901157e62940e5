//! What moves: a boot sector that fills its memory, then says a dot 500 times a second, and in between writes to as many
//! pages as it is told to. The dots tell when it stands still.

/// In MiB; all of it but the first 2 is filled, and with more than zeroes.
pub const MEMORY: u32 = 512;

/// What it does between two dots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// Nothing.
    Idle,
    /// Writes to 16 pages, 32 MB a second, of 256 MiB.
    Dirtying,
}

impl Guest {
    pub const fn word(self) -> &'static str {
        match self {
            Guest::Idle => "idle",
            Guest::Dirtying => "dirtying",
        }
    }

    /// A disk that starts with it.
    pub fn disk(self) -> Vec<u8> {
        let mut disk = sector(match self {
            Guest::Idle => 0,
            Guest::Dirtying => 16,
        })
        .to_vec();
        disk.resize(1 << 20, 0);
        disk
    }
}

/// Real mode throughout, with a segment that reaches all memory.
fn sector(pages: u16) -> [u8; 512] {
    let mut sector = [0; 512];
    let code: &[u8] = &[
        0xfa, //                                     cli
        0x31, 0xc0, 0x8e, 0xd8, //                   xor ax, ax; mov ds, ax
        0x8e, 0xd0, 0xbc, 0x00, 0x7c, //             mov ss, ax; mov sp, 0x7c00
        0x0f, 0x01, 0x16, 0x20, 0x7d, //             lgdt [0x7d20]
        0x0f, 0x20, 0xc0, 0x0c, 0x01, //             mov eax, cr0; or al, 1
        0x0f, 0x22, 0xc0, //                         mov cr0, eax
        0xbb, 0x08, 0x00, 0x8e, 0xc3, //             mov bx, 8; mov es, bx
        0x24, 0xfe, 0x0f, 0x22, 0xc0, //             and al, 0xfe; mov cr0, eax
        0x66, 0xbf, 0x00, 0x00, 0x20, 0x00, //       mov edi, 2 MiB
        0x66, 0x8b, 0x0e, 0x30, 0x7d, //             mov ecx, [0x7d30]      how many words
        0x66, 0xb8, 0x5a, 0x5a, 0x5a, 0x5a, //       mov eax, 0x5a5a5a5a
        0xfc, 0x67, 0x66, 0xf3, 0xab, //             cld; rep stosd es:[edi]
        // The timer's interrupt alone, every 2 ms, to the handler below.
        0xc7, 0x06, 0x20, 0x00, 0xa0, 0x7d, //       mov word [0x20], 0x7da0
        0xc7, 0x06, 0x22, 0x00, 0x00, 0x00, //       mov word [0x22], 0
        0xb0, 0xfe, 0xe6, 0x21, //                   mov al, 0xfe; out 0x21, al
        0xb0, 0xff, 0xe6, 0xa1, //                   mov al, 0xff; out 0xa1, al
        0xb0, 0x34, 0xe6, 0x43, //                   mov al, 0x34; out 0x43, al
        0xb8, 0x52, 0x09, 0xe6, 0x40, //             mov ax, 2386; out 0x40, al
        0x88, 0xe0, 0xe6, 0x40, 0xfb, //             mov al, ah; out 0x40, al; sti
        // tick:
        0xf4, //                                     hlt
        0x8b, 0x0e, 0x34, 0x7d, //                   mov cx, [0x7d34]       how many pages
        0xe3, 0x24, //                               jcxz say
        // page:
        0x66, 0x8b, 0x3e, 0x38, 0x7d, //             mov edi, [0x7d38]      the next one
        0x26, 0x67, 0x66, 0xff, 0x07, //             inc dword es:[edi]
        0x66, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00, // add edi, 4096
        0x66, 0x3b, 0x3e, 0x40, 0x7d, //             cmp edi, [0x7d40]      the last one
        0x72, 0x05, //                               jb keep
        0x66, 0x8b, 0x3e, 0x3c, 0x7d, //             mov edi, [0x7d3c]      the first one
        // keep:
        0x66, 0x89, 0x3e, 0x38, 0x7d, //             mov [0x7d38], edi
        0xe2, 0xdc, //                               loop page
        // say:
        0xba, 0xf8, 0x03, 0xb0, 0x2e, 0xee, //       mov dx, 0x3f8; mov al, '.'; out dx, al
        0xeb, 0xcd, //                               jmp tick
    ];
    sector[..code.len()].copy_from_slice(code);
    // Flat segments: none, data.
    sector[0x108..0x110].copy_from_slice(&[0xff, 0xff, 0, 0, 0, 0x92, 0xcf, 0]);
    sector[0x120..0x126].copy_from_slice(&[0x0f, 0, 0x00, 0x7d, 0, 0]);
    let mut put = |at: usize, word: u32| sector[at..at + 4].copy_from_slice(&word.to_le_bytes());
    put(0x130, (MEMORY - 4) << 18);
    put(0x134, pages.into());
    put(0x138, 64 << 20);
    put(0x13c, 64 << 20);
    put(0x140, 320 << 20);
    // handler: push ax; mov al, 0x20; out 0x20, al; pop ax; iret
    sector[0x1a0..0x1a7].copy_from_slice(&[0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf]);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}
