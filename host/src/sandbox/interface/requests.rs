//! `fief:storage/requests`: what is asked of a served volume.

use wasmtime::component::{Accessor, HasSelf, Linker, Resource, WasmList};
use wasmtime::{StoreContextMut, bail};

use super::Payload;
use crate::sandbox::room::Room;
use crate::sandbox::serve::{Asked, Outcome};
use crate::sandbox::version::v0_1::fief::storage::requests::{
    Act, Host, HostWithStore, Read, Request, Write, WritePayload,
};
use crate::sandbox::version::v0_1::fief::types::types::Error;

/// Writes of this many bytes or more pass by the plugin.
const PASSES: usize = 16 << 10;

impl Room {
    fn answered(&self, number: u64, outcome: Outcome) -> wasmtime::Result<()> {
        match self.queue.as_ref().is_some_and(|queue| queue.answer(number, outcome)) {
            true => Ok(()),
            false => bail!("the plugin answered what it was not asked"),
        }
    }

    fn handed(&mut self, number: u64, asked: Asked) -> wasmtime::Result<Request> {
        let act = match asked {
            Asked::Read { offset, length } => Act::Read(Read { offset, length }),
            Asked::Write { offset, data, durable } if data.len() < PASSES => {
                Act::Write(Write { offset, data, durable })
            }
            Asked::Write { offset, data, durable } => {
                let data = self.keep(data)?;
                Act::WritePayload(WritePayload { offset, data, durable })
            }
        };
        Ok(Request { number, act })
    }
}

impl Host for Room {
    fn answer(&mut self, number: u64, outcome: Result<Vec<u8>, Error>) -> wasmtime::Result<()> {
        self.answered(number, outcome)
    }
    fn answer_payload(&mut self, number: u64, data: Resource<Payload>) -> wasmtime::Result<()> {
        let bytes = self.given_back(data)?;
        self.answered(number, Ok(bytes))
    }
}

impl HostWithStore<Room> for HasSelf<Room> {
    async fn take(accessor: &Accessor<Room, Self>) -> wasmtime::Result<Vec<Request>> {
        let Some(queue) = accessor.with(|mut access| access.get().queue.clone()) else {
            bail!("no volume is served in this call");
        };
        let taken = queue.take().await;
        accessor.with(|mut access| {
            let room = access.get();
            taken.into_iter().map(|(number, asked)| room.handed(number, asked)).collect()
        })
    }
}

/// `answer` as the bindings have it goes through the bytes one by one.
pub(super) fn link_answer(linker: &mut Linker<Room>) -> wasmtime::Result<()> {
    let in_place = |store: StoreContextMut<'_, Room>, (number, outcome): (u64, Result<WasmList<u8>, Error>)| {
        let outcome = outcome.map(|data| data.as_le_slice(&store).to_vec());
        store.data().answered(number, outcome)
    };
    linker.allow_shadowing(true);
    linker.instance("fief:storage/requests@0.1.0")?.func_wrap("answer", in_place)?;
    linker.allow_shadowing(false);
    Ok(())
}
