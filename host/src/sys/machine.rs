//! The machine itself, as its kernel counts it (proc(5)).

use std::time::Duration;

use rustix::param::clock_ticks_per_second;

use crate::types::{ByteSize, ProcessId};

/// What there is, and what of it was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    pub memory: ByteSize,
    /// What programs could not have without swapping: all but `MemAvailable`.
    pub memory_used: ByteSize,
    pub cpus: u32,
    /// Of all processors together since boot, idle time left out; the guests' is in it.
    pub cpu_time: Duration,
}

/// The device that gives whoever opens it descriptors of its own for userfaultfd(2), whatever its privileges (Linux 6.1).
pub const USERFAULTS: &str = "/dev/userfaultfd";

/// The number of that device, which is another one on each kernel.
///
/// # Errors
/// `NotFound` where this kernel has none.
pub fn userfaults() -> std::io::Result<u64> {
    Ok(rustix::fs::stat(USERFAULTS)?.st_rdev)
}

/// None where the kernel does not say.
pub fn read() -> Option<Machine> {
    let memory = std::fs::read_to_string("/proc/meminfo").ok()?;
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    parse(&memory, &stat, clock_ticks_per_second())
}

fn parse(memory: &str, stat: &str, ticks: u64) -> Option<Machine> {
    let kib = |key: &str| -> Option<u64> {
        let line = memory.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    let (total, available) = (kib("MemTotal")?, kib("MemAvailable")?);
    // user nice system idle iowait irq softirq steal; a guest's time is in user and nice already.
    let counted: Vec<u64> =
        stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map(|n| n.parse().ok()).collect::<Option<_>>()?;
    let busy = [0, 1, 2, 5, 6].iter().try_fold(0u64, |sum, at| sum.checked_add(*counted.get(*at)?))?;
    let cpus = stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count();
    Some(Machine {
        memory: ByteSize::from_bytes(total.checked_mul(1024)?),
        memory_used: ByteSize::from_bytes(total.saturating_sub(available).checked_mul(1024)?),
        cpus: u32::try_from(cpus).ok()?,
        cpu_time: Duration::from_millis(busy.checked_mul(1000)? / ticks.max(1)),
    })
}

/// Whether any thread of a process is on a processor, or waits for one, at this moment.
pub fn is_on_processor(process: ProcessId) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", process.pid)) else { return false };
    threads.flatten().any(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('R'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_read() {
        let memory = "MemTotal:        2048 kB\nMemFree:          100 kB\nMemAvailable:    1024 kB\n";
        let stat = "cpu  100 10 50 9000 20 5 5 0 40 0\ncpu0 50 5 25 4500 10 2 3 0 20 0\ncpu1 50 5 25 4500 10 3 2 0 20 0\nintr 1\n";
        let machine = parse(memory, stat, 100).unwrap();
        assert_eq!((machine.memory.bytes(), machine.memory_used.bytes(), machine.cpus), (2 << 20, 1 << 20, 2));
        assert_eq!(machine.cpu_time, Duration::from_millis(1700));
        for (memory, stat) in
            [("", stat), (memory, ""), ("MemTotal: x kB", stat), (memory, "cpu  1 2"), (memory, "cpu  a")]
        {
            assert_eq!(parse(memory, stat, 100), None);
        }
        assert!(read().is_some_and(|here| here.cpus > 0 && here.memory_used < here.memory));
    }
}
