#![allow(unsafe_code)]
//! How this process's allocator (mallopt(3)) treats memory that is given back.

/// Room at the end of the heap that is kept instead of being given back to the kernel, in bytes.
const KEPT: libc::c_int = 16 << 20;
/// Buffers up to this long come from the heap, in bytes: the longest that a request has.
const FROM_HEAP: libc::c_int = 2 << 20;

/// For a process that takes and gives back large buffers thousands of times a second: what it has had once stays, where
/// otherwise each would be fetched from the kernel, cleared by it, and returned. Best effort: without it all goes on.
pub fn keep_memory() {
    // SAFETY: mallopt(3) takes numbers and changes settings of the allocator under its own lock.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
        libc::mallopt(libc::M_MMAP_THRESHOLD, FROM_HEAP);
    }
}
