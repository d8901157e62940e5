//! Serves memory or a file over NBD, without a plugin or a sandbox: for tests with the tools of others, and as the floor
//! of measurements.
//!
//! ```text
//! serve (--socket PATH | --stdio) [--read-only] [--block-size BYTES] [--no-zeroes] (memory BYTES | file PATH)
//! ```
//! With `--stdio` the one client is the socket that stdin is. SIGHUP looks at the device's size again and drops all
//! clients; SIGTERM ends, as for one who listens on the same socket next.

use std::error::Error;
use std::os::fd::AsFd;
use std::path::PathBuf;

use fief_nbd::{Device, Export, Geometry, Limits, Server};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

mod file;
mod memory;

/// What the words of the command line say.
#[derive(Debug, Default)]
struct Choices {
    socket: Option<PathBuf>,
    stdio: bool,
    read_only: bool,
    block_size: Option<u32>,
    no_zeroes: bool,
}

impl Choices {
    fn apply(&self, geometry: Geometry) -> Geometry {
        Geometry {
            read_only: self.read_only,
            block_size: self.block_size.unwrap_or(geometry.block_size),
            can_write_zeroes: geometry.can_write_zeroes && !self.no_zeroes,
            ..geometry
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut choices = Choices::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} takes a value"));
        match word.as_str() {
            "--socket" => choices.socket = Some(value()?.into()),
            "--stdio" => choices.stdio = true,
            "--read-only" => choices.read_only = true,
            "--no-zeroes" => choices.no_zeroes = true,
            "--block-size" => choices.block_size = Some(value()?.parse()?),
            "memory" => {
                let mut memory = memory::Memory::new(value()?.parse()?);
                memory.geometry = choices.apply(memory.geometry);
                return serve(memory, "memory", &choices).await;
            }
            "file" => {
                let path = value()?;
                let mut file = file::File::open(path.as_ref(), choices.read_only)?;
                file.geometry = choices.apply(file.geometry);
                return serve(file, "file", &choices).await;
            }
            _ => return Err(format!("{word} is not known").into()),
        }
    }
    Err("what is to be served? memory BYTES, or file PATH".into())
}

async fn serve(device: impl Device, volume: &str, choices: &Choices) -> Result<(), Box<dyn Error>> {
    let export = Export { volume: volume.into(), generation: 2, description: format!("{volume} of an example") };
    let server = Server::new(&device, export, Limits::default())?;
    let handle = server.handle();
    if choices.stdio {
        let stdin = std::os::unix::net::UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        stdin.set_nonblocking(true)?;
        server.connection(UnixStream::from_std(stdin)?).await;
        return Ok(());
    }
    let listener = UnixListener::bind(choices.socket.as_ref().ok_or("--socket PATH, or --stdio")?)?;
    let (mut hang_up, mut end) = (signal(SignalKind::hangup())?, signal(SignalKind::terminate())?);
    let mut serving = std::pin::pin!(server.listen(&listener));
    loop {
        tokio::select! {
            () = &mut serving => return Ok(()),
            _ = hang_up.recv() => {
                handle.resized(device.geometry().size);
                handle.drop_clients();
            }
            _ = end.recv() => handle.hand_over(),
        }
    }
}
