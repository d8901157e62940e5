//! One kind of work on a block device, done by a client that both sides share: fio over NBD where both are NBD servers,
//! `qemu-img bench` where the peer is a driver of QEMU's own.

use std::time::{Duration, Instant};

use crate::command::{Result, capture, command};

/// Long enough that a start weighs little, short enough that seven rounds of every row are done in half an hour.
const SECONDS: f64 = 1.0;
/// Of a bench that is only to be looked at.
const QUICK_SECONDS: f64 = 0.3;
/// `qemu-img bench` walks in steps: this one is far from the last place, and visits every block of 4 KiB in turn, since
/// it has no factor in common with the number of blocks.
const STRIDE: u64 = (1 << 20) + 4096;

#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) word: &'static str,
    pub(super) write: bool,
    pub(super) random: bool,
    pub(super) block: u64,
    pub(super) depth: u32,
}

const fn load(word: &'static str, write: bool, random: bool, block: u64, depth: u32) -> Load {
    Load { word, write, random, block, depth }
}

/// Depth 1 and `deep`, then large pieces one after another.
pub(super) const fn loads(deep: u32) -> [Load; 8] {
    [
        load("4 KiB random read", false, true, 4 << 10, 1),
        load("4 KiB random write", true, true, 4 << 10, 1),
        load("4 KiB random read", false, true, 4 << 10, deep),
        load("4 KiB random write", true, true, 4 << 10, deep),
        load("64 KiB read in order", false, false, 64 << 10, 4),
        load("64 KiB write in order", true, false, 64 << 10, 4),
        load("1 MiB read in order", false, false, 1 << 20, 4),
        load("1 MiB write in order", true, false, 1 << 20, 4),
    ]
}

/// How long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As it is told in docs/PERFORMANCE.md.
    Full,
    /// Fewer and shorter rounds, for whoever changes something and wants to see what it does.
    Quick,
}

impl Pace {
    pub(super) const fn rounds(self) -> usize {
        match self {
            Pace::Full => super::ROUNDS,
            Pace::Quick => 3,
        }
    }
}

/// What was done, and what it took of the processors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    pub(super) per_second: f64,
    /// For each operation, of the client's process.
    pub(super) client: Duration,
    /// The same of the servers' that count.
    pub(super) servers: Duration,
}

/// Where a client finds the device.
#[derive(Debug, Clone)]
pub(super) enum Device {
    /// fio's NBD engine.
    Fio(String),
    /// QEMU's block layer.
    Qemu(String),
}

impl Load {
    /// `servers`: whose processor time counts beside the client's.
    pub(super) fn run(&self, device: &Device, servers: &[u32], pace: Pace) -> Result<Done> {
        let seconds = match pace {
            Pace::Full => SECONDS,
            Pace::Quick => QUICK_SECONDS,
        };
        // `qemu-img bench` is told a number of requests and not a time: a short run says how many.
        let count = match device {
            Device::Fio(_) => 0,
            Device::Qemu(name) => {
                let short = 64.max(u64::from(self.depth) * 4);
                let time = self.requests(name, short)?;
                (short as f64 * seconds / time.as_secs_f64().max(1e-4)).clamp(short as f64, 2e6) as u64
            }
        };
        let before = (spent(servers)?, children());
        let (operations, time) = match device {
            Device::Fio(uri) => self.fio(uri, seconds)?,
            Device::Qemu(name) => (count as f64, self.requests(name, count)?),
        };
        let each = |time: Duration| time.div_f64(operations.max(1.0));
        Ok(Done {
            per_second: operations / time.as_secs_f64(),
            client: each(children().saturating_sub(before.1)),
            servers: each(spent(servers)?.saturating_sub(before.0)),
        })
    }

    fn fio(&self, uri: &str, seconds: f64) -> Result<(f64, Duration)> {
        let kind = match (self.random, self.write) {
            (true, false) => "randread",
            (true, true) => "randwrite",
            (false, false) => "read",
            (false, true) => "write",
        };
        let mut fio = command("fio", ["--name=load", "--ioengine=nbd", "--output-format=terse", "--terse-version=3"]);
        fio.arg("--time_based").arg(format!("--uri={uri}")).arg(format!("--rw={kind}"));
        fio.arg(format!("--bs={}", self.block)).arg(format!("--iodepth={}", self.depth));
        fio.arg(format!("--runtime={seconds}"));
        let said = capture(&mut fio)?;
        // fio(1), "terse output": KiB, KiB/s, IOPS and milliseconds, of reads from field 6 and of writes from field 47.
        let line = said.lines().find(|line| line.starts_with("3;")).ok_or("fio gave no terse report")?;
        let fields: Vec<&str> = line.split(';').skip(if self.write { 46 } else { 5 }).take(4).collect();
        let number = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok());
        let (Some(kib), Some(millis)) = (number(0), number(3)) else { return Err("fio's report is cut short".into()) };
        Ok((kib * 1024.0 / self.block as f64, Duration::from_secs_f64(millis / 1e3)))
    }

    fn requests(&self, device: &str, count: u64) -> Result<Duration> {
        let mut bench = command("qemu-img", ["bench", "-t", "none"]);
        // A node that is written out says its format itself.
        bench.args((!device.starts_with("json:")).then_some(["-f", "raw"]).into_iter().flatten());
        let step = if self.random { STRIDE } else { self.block };
        bench.args(["-c", &count.to_string(), "-d", &self.depth.to_string(), "-s", &self.block.to_string()]);
        bench.args(["-S", &step.to_string()]).args(self.write.then_some("-w")).arg(device);
        let begun = Instant::now();
        let said = capture(&mut bench)?;
        // "Run completed in 1.234 seconds."
        let told = said.lines().find_map(|line| line.strip_prefix("Run completed in ")?.strip_suffix(" seconds."));
        Ok(told.and_then(|told| told.parse().ok()).map_or_else(|| begun.elapsed(), Duration::from_secs_f64))
    }
}

/// Processor time of processes that run (`utime` and `stime`, proc(5)).
fn spent(processes: &[u32]) -> Result<Duration> {
    let mut ticks = 0;
    for process in processes {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        // After the name, which may hold anything, in parentheses.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        ticks += rest.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum::<u64>();
    }
    Ok(Duration::from_millis(ticks * 10))
}

/// Processor time of the clients that have ended (`cutime` and `cstime`).
fn children() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = rest.split_whitespace().skip(13).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
