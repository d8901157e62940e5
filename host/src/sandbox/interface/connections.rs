//! `fief:storage/connections`: no stream is connected yet, so every open is answered `unsupported`.

use wasmtime::component::{Accessor, HasSelf, Resource};

use crate::sandbox::room::Room;
use crate::sandbox::version::v0_1::fief::storage::connections::{
    Connection, Host, HostConnection, HostConnectionWithStore,
};
use crate::sandbox::version::v0_1::fief::types::types::{Error, ErrorCode, Retry};

type Answer<T> = wasmtime::Result<Result<T, Error>>;

fn unsupported<T>() -> Answer<T> {
    let message = "this host connects no streams for plugins".into();
    Ok(Err(Error { code: ErrorCode::Unsupported, message, retry: Retry::Never }))
}

impl Host for Room {}

impl HostConnection for Room {
    fn open(&mut self, _grant: String) -> Answer<Resource<Connection>> {
        unsupported()
    }
    fn read(&mut self, _: Resource<Connection>, _maximum: u32) -> Answer<Vec<u8>> {
        unsupported()
    }
    fn write(&mut self, _: Resource<Connection>, _data: Vec<u8>) -> Answer<()> {
        unsupported()
    }
    fn shut(&mut self, _: Resource<Connection>) -> wasmtime::Result<()> {
        Ok(())
    }
    fn drop(&mut self, _: Resource<Connection>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl HostConnectionWithStore<Room> for HasSelf<Room> {
    async fn connect(_: &Accessor<Room, Self>, _grant: String) -> Answer<Resource<Connection>> {
        unsupported()
    }
    async fn receive(_: &Accessor<Room, Self>, _: Resource<Connection>, _maximum: u32) -> Answer<Vec<u8>> {
        unsupported()
    }
    async fn send(_: &Accessor<Room, Self>, _: Resource<Connection>, _data: Vec<u8>) -> Answer<()> {
        unsupported()
    }
}
