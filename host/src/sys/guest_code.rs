//! Boot sectors, assembled with the rest of fief: guests so small that they need no disk image.
//!
//! A PC's firmware loads one at 0000:7c00 in real mode. Addresses are written as distances from its start plus
//! 0x7c00, so that nothing is left for the linker to fill in.
#![allow(unsafe_code)]

/// Where [`PRINTER`] keeps the text that it prints, up to a NUL.
pub const PRINTER_TEXT: usize = 0x80;
/// Where [`PRINTER`] keeps the number of what it does then: 0 halt, 1 exit through isa-debug-exit with the code at
/// `PRINTER_ACTION + 1`, 2 power off, 3 reset, 4 panic, 5 echo what comes in on the serial port.
pub const PRINTER_ACTION: usize = 0x1f0;
/// What the probe guest writes to isa-debug-exit; QEMU then ends with `(VALUE << 1) | 1`.
pub const PROBE_VALUE: u8 = 0x2a;

#[cfg(target_arch = "x86_64")]
mod assembled {
    use std::arch::global_asm;

    // Prints on the first serial port (16550A at 0x3f8), then does what the action byte says.
    global_asm!(
        ".pushsection .rodata.fief_guest_code,\"a\"",
        ".code16",
        ".globl fief_printer",
        ".hidden fief_printer",
        "fief_printer:",
        "  ljmp $0, $(1f - fief_printer + 0x7c00)",
        "1: xorw %ax, %ax",
        "  movw %ax, %ds",
        "  cld",
        "  movw $(0x7c00 + 0x80), %si",
        "2: lodsb",
        "  testb %al, %al",
        "  jz 4f",
        "  movb %al, %ah",
        "  movw $0x3fd, %dx", // line status: bit 5, ready to send
        "3: inb %dx, %al",
        "  testb $0x20, %al",
        "  jz 3b",
        "  movw $0x3f8, %dx",
        "  movb %ah, %al",
        "  outb %al, %dx",
        "  jmp 2b",
        "4: movb (0x7c00 + 0x1f0), %bl",
        "  decb %bl",
        "  jnz 5f",
        "  movb (0x7c00 + 0x1f1), %al",
        "  outb %al, $0xf4", // isa-debug-exit
        "5: decb %bl",
        "  jnz 6f",
        "  movw $0x604, %dx", // PM1a control of the ICH9 as SeaBIOS places it: SLP_EN, S5
        "  movw $0x2000, %ax",
        "  outw %ax, %dx",
        "6: decb %bl",
        "  jnz 7f",
        "  movw $0xcf9, %dx", // reset control: hard reset
        "  movb $0x06, %al",
        "  outb %al, %dx",
        "7: decb %bl",
        "  jnz 8f",
        "  movw $0x505, %dx", // pvpanic: panicked
        "  movb $0x01, %al",
        "  outb %al, %dx",
        "8: decb %bl",
        "  jnz 10f",
        "9: movw $0x3fd, %dx", // echo; line status: bit 0, a byte has come
        "  inb %dx, %al",
        "  testb $0x01, %al",
        "  jz 9b",
        "  movw $0x3f8, %dx",
        "  inb %dx, %al",
        "  outb %al, %dx",
        "  jmp 9b",
        "10: hlt",
        "  jmp 10b",
        ".org fief_printer + 510",
        ".word 0xaa55",
        ".code64",
        ".popsection",
        options(att_syntax)
    );

    // Goes the way of a kernel's entry: protected mode, paging, long mode, its own descriptor tables, a trap and the
    // return from it, a model-specific register, SSE2; then says that it is there.
    // Page tables lie at 0x1000-0x3fff (one 2 MiB page, identity), the interrupt table at 0x4000.
    global_asm!(
        ".pushsection .rodata.fief_guest_code,\"a\"",
        ".code16",
        ".globl fief_probe",
        ".hidden fief_probe",
        "fief_probe:",
        "  cli",
        "  ljmp $0, $(1f - fief_probe + 0x7c00)",
        "1: xorw %ax, %ax",
        "  movw %ax, %ds",
        "  movw %ax, %es",
        "  cld",
        "  movw $0x1000, %di",
        "  movw $0x2000, %cx",
        "  rep stosw",
        "  movw $0x2003, 0x1000",
        "  movw $0x3003, 0x2000",
        "  movw $0x0083, 0x3000",
        "  lgdt (7f - fief_probe + 0x7c00)",
        "  movl %cr0, %eax",
        "  orb $1, %al",
        "  movl %eax, %cr0",
        "  ljmp $0x08, $(2f - fief_probe + 0x7c00)",
        ".code32",
        "2: movw $0x10, %ax",
        "  movw %ax, %ds",
        "  movw %ax, %ss",
        "  movl $0x7c00, %esp",
        "  movl %cr4, %eax",
        "  orl $0x620, %eax", // PAE, OSFXSR, OSXMMEXCPT
        "  movl %eax, %cr4",
        "  movl $0x1000, %eax",
        "  movl %eax, %cr3",
        "  movl $0xc0000080, %ecx", // EFER: LME
        "  rdmsr",
        "  orl $0x100, %eax",
        "  wrmsr",
        "  movl %cr0, %eax",
        "  andl $0xfffffffb, %eax", // no x87 emulation
        "  orl $0x80000002, %eax",  // paging, monitor coprocessor
        "  movl %eax, %cr0",
        "  ljmp $0x18, $(3f - fief_probe + 0x7c00)",
        ".code64",
        "3: movl $0x10, %eax",
        "  movl %eax, %ds",
        "  movl %eax, %ss",
        "  movl $(5f - fief_probe + 0x7c00), %eax", // vector 3: present, interrupt gate
        "  movl $0x00180000, %ebx",
        "  movw %ax, %bx",
        "  movl %ebx, 0x4030",
        "  movl $0x00008e00, 0x4034",
        "  lidt (8f - fief_probe + 0x7c00)",
        "  movq %cr4, %rax", // a kernel turns global pages on and off at its entry
        "  orb $0x80, %al",
        "  movq %rax, %cr4",
        "  movq %cr3, %rax",
        "  movq %rax, %cr3",
        "  movl $0xc0000101, %ecx", // GS base
        "  movl $0x4030, %eax",
        "  xorl %edx, %edx",
        "  wrmsr",
        "  xorl %esi, %esi",
        "  int3",
        "  cmpl $0x600d, %esi",
        "  jne 6f",
        "  cmpl %ebx, %gs:0",
        "  jne 6f",
        "  xorl %eax, %eax",
        "  cpuid",
        "  movl $41, %eax",
        "  cvtsi2sd %eax, %xmm0",
        "  movl $1, %eax",
        "  cvtsi2sd %eax, %xmm1",
        "  addsd %xmm1, %xmm0",
        "  cvttsd2si %xmm0, %eax", // 42, PROBE_VALUE
        "  outb %al, $0xf4",
        "6: hlt",
        "  jmp 6b",
        "5: movl $0x600d, %esi",
        "  iretq",
        ".balign 8",
        "4: .quad 0",
        "  .quad 0x00cf9a000000ffff", // 08: code, 32 bit
        "  .quad 0x00cf92000000ffff", // 10: data
        "  .quad 0x00af9a000000ffff", // 18: code, 64 bit
        "7: .word 31",
        "  .long (4b - fief_probe + 0x7c00)",
        "8: .word 0x3f", // four vectors
        "  .quad 0x4000",
        ".org fief_probe + 510",
        ".word 0xaa55",
        ".popsection",
        options(att_syntax)
    );

    unsafe extern "C" {
        #[link_name = "fief_printer"]
        pub(super) static PRINTER: [u8; 512];
        #[link_name = "fief_probe"]
        pub(super) static PROBE: [u8; 512];
    }
}

/// Prints a text on the serial port; see the constants above.
#[cfg(target_arch = "x86_64")]
pub fn printer() -> [u8; 512] {
    // SAFETY: the assembler laid exactly 512 bytes down behind this label (`.org` would fail else), in a section that
    // nothing writes to.
    unsafe { assembled::PRINTER }
}

/// Enters long mode and writes [`PROBE_VALUE`] to isa-debug-exit at port 0xf4.
#[cfg(target_arch = "x86_64")]
pub fn probe() -> [u8; 512] {
    // SAFETY: as for `printer`.
    unsafe { assembled::PROBE }
}

/// There are boot sectors for PCs only; here a disk that does not boot.
#[cfg(not(target_arch = "x86_64"))]
pub fn printer() -> [u8; 512] {
    [0; 512]
}

/// There are boot sectors for PCs only; here a disk that does not boot.
#[cfg(not(target_arch = "x86_64"))]
pub fn probe() -> [u8; 512] {
    [0; 512]
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn boot_sectors_end_in_the_mark_that_firmware_looks_for() {
        for sector in [printer(), probe()] {
            assert_eq!(sector[510..], [0x55, 0xaa]);
            assert_ne!(sector[0], 0);
        }
        let code = printer()[PRINTER_TEXT..510].iter().all(|byte| *byte == 0);
        assert!(code, "the printer's code runs into its text");
    }
}
