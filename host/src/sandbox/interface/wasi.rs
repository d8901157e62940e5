//! WASI 0.2, so that ordinary standard libraries work, with nothing behind it but the granted directories: no
//! arguments, no environment, no sockets, clocks that tick in milliseconds, standard output into the log.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasmtime::component::Linker;
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::p2::bindings::{cli, filesystem as files, random};
use wasmtime_wasi::{FsPerms, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiView, cli as wasi_cli};

use crate::sandbox::log::{Lines, Log};
use crate::sandbox::protocol::{LogLevel, Preopen};
use crate::sandbox::room::Room;
use crate::types::Access;

/// Most random bytes of one request.
const RANDOM_MAX: u64 = 64 << 10;
/// Finest step of a plugin's clocks: too coarse to time what other code of this machine does.
const CLOCK_STEP: Duration = Duration::from_millis(1);

pub(super) fn link(linker: &mut Linker<Room>) -> wasmtime::Result<()> {
    use wasmtime_wasi::cli::{WasiCli, WasiCliView};
    use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
    use wasmtime_wasi::random::WasiRandom;

    // wasi:io, wasi:clocks, wasi:random/random, and the three standard streams.
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(linker)?;
    files::types::add_to_linker::<Room, WasiFilesystem>(linker, Room::filesystem)?;
    files::preopens::add_to_linker::<Room, WasiFilesystem>(linker, Room::filesystem)?;
    random::insecure::add_to_linker::<Room, WasiRandom>(linker, |room| room.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<Room, WasiRandom>(linker, |room| room.ctx().ctx.random())?;
    cli::exit::add_to_linker::<Room, WasiCli>(linker, Room::cli)?;
    cli::environment::add_to_linker::<Room, WasiCli>(linker, Room::cli)?;
    cli::terminal_input::add_to_linker::<Room, WasiCli>(linker, Room::cli)?;
    cli::terminal_output::add_to_linker::<Room, WasiCli>(linker, Room::cli)?;
    cli::terminal_stdin::add_to_linker::<Room, WasiCli>(linker, Room::cli)?;
    cli::terminal_stdout::add_to_linker::<Room, WasiCli>(linker, Room::cli)?;
    cli::terminal_stderr::add_to_linker::<Room, WasiCli>(linker, Room::cli)
}

/// The granted directories, opened once before the doors are shut.
pub(in crate::sandbox) struct Preopens(WasiFilesystemCtx);

impl Preopens {
    pub(in crate::sandbox) fn open(directories: &[(Preopen, BorrowedFd<'_>)]) -> wasmtime::Result<Self> {
        let mut builder = WasiCtxBuilder::new();
        // File calls run on the one thread there is: a sandbox starts no other.
        builder.allow_blocking_current_thread(true);
        for (preopen, descriptor) in directories {
            let permissions = match preopen.access {
                Access::ReadOnly => FsPerms::ReadOnly,
                Access::ReadWrite => FsPerms::ReadWrite,
            };
            let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
            builder.preopened_dir(path, format!("/{}", preopen.name), permissions)?;
        }
        Ok(Preopens(builder.build().filesystem().clone()))
    }
}

/// What one call sees of WASI, and the two streams to finish when it ends. `clock`: what its clock on the wall shows now,
/// where that is not the time that it is.
pub(in crate::sandbox) fn wasi(preopens: &Preopens, log: &Log, clock: Option<Duration>) -> (WasiCtx, [Lines; 2]) {
    let output = Lines::new(log.clone(), LogLevel::Info);
    let error = Lines::new(log.clone(), LogLevel::Warn);
    let mut wasi = WasiCtxBuilder::new()
        .stdin(Nothing)
        .stdout(output.clone())
        .stderr(error.clone())
        .max_random_size(RANDOM_MAX)
        .wall_clock(Wall { shows: clock, since: Instant::now() })
        .monotonic_clock(Coarse::begin())
        .build();
    wasi.filesystem().clone_from(&preopens.0);
    (wasi, [output, error])
}

struct Nothing;

impl wasi_cli::IsTerminal for Nothing {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl wasi_cli::StdinStream for Nothing {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncRead + Send + Sync> {
        Box::new(tokio::io::empty())
    }
}

struct Coarse(Instant);

impl Coarse {
    fn begin() -> Self {
        Coarse(Instant::now())
    }
}

fn coarse(time: Duration) -> Duration {
    Duration::from_millis(time.as_millis().try_into().unwrap_or(u64::MAX))
}

struct Wall {
    /// When it began, where that is not the time that it was.
    shows: Option<Duration>,
    since: Instant,
}

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        CLOCK_STEP
    }
    fn now(&self) -> Duration {
        coarse(match self.shows {
            Some(begun) => begun.saturating_add(self.since.elapsed()),
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        })
    }
}

impl HostMonotonicClock for Coarse {
    fn resolution(&self) -> u64 {
        CLOCK_STEP.as_nanos() as u64
    }
    fn now(&self) -> u64 {
        coarse(self.0.elapsed()).as_nanos().try_into().unwrap_or(u64::MAX)
    }
}
