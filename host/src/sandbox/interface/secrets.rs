//! `fief:storage/secrets`: the bytes come in a file in memory, never in a frame.

use std::fs::File;
use std::io::Read;

use super::{mismatch, words};
use crate::sandbox::protocol::{Ask, Reply};
use crate::sandbox::room::Room;
use crate::sandbox::version::v0_1::fief::storage::secrets::Host;
use crate::sandbox::version::v0_1::fief::types::types::Error;

/// Longest secret, in bytes: keys and certificates are far below it.
const SECRET_MAX: u64 = 64 << 10;

impl Host for Room {
    async fn reveal(&mut self, secret: String) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let (answer, descriptors) = self.host.ask_for_descriptors(Ask::Reveal { secret }).await?;
        match (answer, descriptors.into_iter().next()) {
            (Err(error), _) => Ok(Err(words::error(error))),
            (Ok(Reply::Secret), Some(file)) => {
                let mut bytes = Vec::new();
                File::from(file).take(SECRET_MAX).read_to_end(&mut bytes)?;
                Ok(Ok(bytes))
            }
            (Ok(reply), _) => mismatch(&reply),
        }
    }
}
