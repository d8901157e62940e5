//! `fief:types/timer`.

use std::time::Duration;

use wasmtime::component::{Accessor, HasSelf};

use crate::sandbox::room::Room;
use crate::sandbox::version::v0_1::fief::types::timer::{Host, HostWithStore};

impl Host for Room {}

impl HostWithStore<Room> for HasSelf<Room> {
    async fn wait(_: &Accessor<Room, Self>, milliseconds: u32) -> wasmtime::Result<()> {
        tokio::time::sleep(Duration::from_millis(milliseconds.into())).await;
        Ok(())
    }
}
