//! A client of one server over one wire. Nothing is open on the server: every call stands alone, and may come twice.

use super::calls;
use crate::rpc::{self, Identity, Procedure, Refused};
use crate::status::Status;
use crate::trouble::{Answer, Trouble};
use crate::types::{Attributes, Handle, Page, Space, Stable, Verifier, Written};
use crate::wire::Wire;
use crate::xdr::{Decoded, Decoder, Encoder};
use fief_sdk::Error;
use fief_sdk::payload::Data;

/// Between two tries of what the server asks to come later for, in milliseconds.
const LATER: u32 = 500;
/// Of one list, in bytes.
const LIST: u32 = 32 << 10;

pub(crate) struct Client<W> {
    pub(crate) wire: W,
    pub(crate) identity: Identity,
}

impl<W: Wire> Client<W> {
    async fn call<T>(
        &self,
        procedure: Procedure,
        room: usize,
        encode: impl Fn(&mut Encoder),
        decode: impl Fn(&mut Decoder<'_>) -> Decoded<T>,
    ) -> Answer<T> {
        self.call_with_record(procedure, room, encode, decode).await.map(|(value, _)| value)
    }

    /// The same, with the record that the value was read from.
    async fn call_with_record<T>(
        &self,
        procedure: Procedure,
        room: usize,
        encode: impl Fn(&mut Encoder),
        decode: impl Fn(&mut Decoder<'_>) -> Decoded<T>,
    ) -> Answer<(T, Vec<u8>)> {
        loop {
            let number = self.wire.xid();
            let record = || {
                let mut call = rpc::call(number, procedure, self.identity, room);
                encode(&mut call);
                rpc::finish(call)
            };
            let answer = self.wire.exchange(number, &record).await?;
            let read = || -> Decoded<Result<Result<T, Status>, Refused>> {
                match rpc::results(&answer)? {
                    Err(refused) => Ok(Err(refused)),
                    Ok(mut results) => match Status(results.u32()?) {
                        Status(0) => decode(&mut results).map(|value| Ok(Ok(value))),
                        status => Ok(Ok(Err(status))),
                    },
                }
            };
            match read() {
                Ok(Ok(Ok(value))) => return Ok((value, answer)),
                Ok(Ok(Err(status))) if status.is_later() => self.wire.wait(LATER).await?,
                Ok(Ok(Err(status))) => return Err(Trouble::Status(status)),
                Ok(Err(refused)) => return Err(refusal(refused).into()),
                Err(malformed) => self.wire.distrust(malformed).await?,
            }
        }
    }

    /// The folder that a server exports under this path.
    pub(crate) async fn mount(&self, share: &str) -> Answer<Handle> {
        self.call(calls::MOUNT, 0, |call| call.opaque(share.as_bytes()), Handle::decode).await
    }

    pub(crate) async fn limits(&self, folder: &Handle) -> Answer<calls::Limits> {
        self.call(calls::FSINFO, 0, |call| folder.encode(call), calls::limits).await
    }

    pub(crate) async fn space(&self, folder: &Handle) -> Answer<Space> {
        self.call(calls::FSSTAT, 0, |call| folder.encode(call), calls::space).await
    }

    pub(crate) async fn attributes(&self, file: &Handle) -> Answer<Attributes> {
        self.call(calls::GETATTR, 0, |call| file.encode(call), calls::attributes).await
    }

    pub(crate) async fn lookup(&self, folder: &Handle, name: &str) -> Answer<(Handle, Attributes)> {
        let (file, attributes) = self
            .call(
                calls::LOOKUP,
                0,
                |call| calls::at(call, folder, name),
                |from| Ok((Handle::decode(from)?, calls::after(from)?)),
            )
            .await?;
        let attributes = match attributes {
            Some(attributes) => attributes,
            None => self.attributes(&file).await?,
        };
        Ok((file, attributes))
    }

    pub(crate) async fn list(&self, folder: &Handle, cookie: u64, verifier: Verifier) -> Answer<Page> {
        self.call(calls::READDIRPLUS, 0, |call| calls::list(call, folder, cookie, verifier, LIST), calls::page).await
    }

    pub(crate) async fn create(&self, folder: &Handle, name: &str) -> Answer<Handle> {
        let made =
            self.call(calls::CREATE, 0, |call| calls::create(call, folder, name, 0), calls::maybe_handle).await?;
        match made {
            Some(file) => Ok(file),
            None => Ok(self.lookup(folder, name).await?.0),
        }
    }

    pub(crate) async fn create_folder(&self, folder: &Handle, name: &str) -> Answer<()> {
        self.call(calls::MKDIR, 0, |call| calls::create_folder(call, folder, name), nothing).await
    }

    pub(crate) async fn remove_folder(&self, folder: &Handle, name: &str) -> Answer<()> {
        self.call(calls::RMDIR, 0, |call| calls::at(call, folder, name), nothing).await
    }

    pub(crate) async fn set_size(&self, file: &Handle, size: u64) -> Answer<()> {
        self.call(calls::SETATTR, 0, |call| calls::set_size(call, file, size), nothing).await
    }

    pub(crate) async fn read(&self, file: &Handle, offset: u64, length: u32) -> Answer<(Data, bool)> {
        let decode = |from: &mut Decoder<'_>| calls::data(from, length);
        let encode = |call: &mut Encoder| calls::range(call, file, offset, length);
        let ((data, ended), record) = self.call_with_record(calls::READ, 0, encode, decode).await?;
        Ok((data.of(record), ended))
    }

    pub(crate) async fn write(&self, file: &Handle, offset: u64, data: &[u8], stable: Stable) -> Answer<Written> {
        let encode = |call: &mut Encoder| calls::write(call, file, offset, data, stable);
        self.call(calls::WRITE, data.len(), encode, |from| calls::written(from, data.len())).await
    }

    pub(crate) async fn commit(&self, file: &Handle) -> Answer<Verifier> {
        self.call(calls::COMMIT, 0, |call| calls::range(call, file, 0, 0), calls::committed).await
    }

    pub(crate) async fn remove(&self, folder: &Handle, name: &str) -> Answer<()> {
        self.call(calls::REMOVE, 0, |call| calls::at(call, folder, name), nothing).await
    }

    pub(crate) async fn rename(&self, folder: &Handle, from: &str, to: &str) -> Answer<()> {
        let encode = |call: &mut Encoder| {
            calls::at(call, folder, from);
            calls::at(call, folder, to);
        };
        self.call(calls::RENAME, 0, encode, nothing).await
    }

    pub(crate) async fn link(&self, file: &Handle, folder: &Handle, name: &str) -> Answer<()> {
        let encode = |call: &mut Encoder| {
            file.encode(call);
            calls::at(call, folder, name);
        };
        self.call(calls::LINK, 0, encode, nothing).await
    }
}

/// Results that nobody needs.
fn nothing(_: &mut Decoder<'_>) -> Decoded<()> {
    Ok(())
}

/// RPC itself said no.
pub(crate) fn refusal(refused: Refused) -> Error {
    match refused {
        Refused::NoProgram => Error::unsupported("the server does not serve NFS at this port"),
        Refused::Versions(low, high) => {
            Error::unsupported(format!("the server speaks versions {low} to {high} of NFS, and not the one asked for"))
        }
        Refused::Identity => Error::denied("the server does not take AUTH_SYS, the numbers of a user as such"),
        Refused::Other => Error::io("the server could not make sense of a call"),
    }
}
