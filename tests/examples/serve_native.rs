//! The block device of storage-file built for this machine and served by the same NBD server: what the benches hold the
//! same code in the sandbox against.
//!
//!     serve_native DIRECTORY VOLUME SOCKET

use fief_nbd::{Device, Error, Export, Extent, Geometry, Kind, Limits, Server};
use fief_sdk::block::{BlockDevice, Holder};
use fief_sdk::settings::{Setting, Settings};
use fief_sdk::storage::{Access, Pool};

struct Native<D>(D);

fn told(error: fief_sdk::Error) -> Error {
    Error::new(Kind::Io, error.message)
}

impl<D: BlockDevice> Device for Native<D> {
    fn geometry(&self) -> Geometry {
        let said = self.0.geometry();
        Geometry {
            size: said.size,
            block_size: said.block_size,
            preferred_io: said.preferred_io,
            maximum_io: said.maximum_io,
            maximum_requests: said.maximum_requests,
            can_discard: said.can_discard,
            can_write_zeroes: said.can_write_zeroes,
            can_extents: said.can_extents,
            rotational: said.rotational,
            read_only: said.read_only,
        }
    }
    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        self.0.read(offset, length).await.map_err(told)
    }
    async fn write(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<(), Error> {
        self.0.write(offset, data, durable).await.map_err(told)
    }
    async fn flush(&self) -> Result<(), Error> {
        self.0.flush().await.map_err(told)
    }
    async fn discard(&self, offset: u64, length: u64) -> Result<(), Error> {
        self.0.discard(offset, length).await.map_err(told)
    }
    async fn write_zeroes(&self, offset: u64, length: u64, keep: bool, durable: bool) -> Result<(), Error> {
        self.0.write_zeroes(offset, length, keep, durable).await.map_err(told)
    }
    async fn extents(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error> {
        let said = self.0.extents(offset, length).await.map_err(told)?;
        Ok(said
            .into_iter()
            .map(|extent| Extent { length: extent.length, hole: extent.hole, zero: extent.zero })
            .collect())
    }
}

async fn serve<D: BlockDevice>(
    settings: &[Setting],
    volume: &str,
    socket: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let settings = D::Settings::read(settings).map_err(|error| error.message)?;
    let pool = Pool { name: "native".to_owned(), settings };
    let holder = Holder { host: "bench".into(), name: "bench".into(), domain: "bench".into(), generation: 1 };
    let opened = D::open(&pool, volume, Access::Exclusive, Some(&holder)).await;
    let device = Native(opened.map_err(|error| error.message)?);
    let export = Export { volume: volume.to_owned(), generation: 1, description: String::new() };
    let server = Server::new(device, export, Limits::default()).map_err(|error| format!("{error:?}"))?;
    server.listen(&tokio::net::UnixListener::bind(socket)?).await;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [directory, volume, socket] = words.as_slice() else {
        return Err("serve_native DIRECTORY VOLUME SOCKET".into());
    };
    fief_sdk::native::grant_directory("images", std::path::Path::new(directory));
    let settings = [Setting { key: "directory".into(), value: "images".into() }];
    fief_sdk::native::block_on(serve::<storage_file::device::Device>(&settings, volume, socket))
}
