//! Reads an answer of a server as the plugin does, whatever it answers.

use storage_nfs::rpc::{self, MOUNT_PROGRAM, Procedure};
use storage_nfs::types::Handle;
use storage_nfs::v3::calls;
use storage_nfs::v4::compound::op;
use storage_nfs::v4::results::{Broken, Found, Results};
use storage_nfs::xdr::{Decoded, Decoder};

/// Most bytes that a read or write is about.
const MOST: u32 = 256 << 10;

/// What a call asks for: program, version and number (RFC 5531, 9).
pub fn procedure(call: &[u8]) -> Decoded<Procedure> {
    let mut call = Decoder::new(call);
    for _ in 0..3 {
        call.u32()?; // xid, direction, version of RPC
    }
    Ok(Procedure { program: call.u32()?, version: call.u32()?, number: call.u32()? })
}

/// True where all of it was understood.
pub fn answer(procedure: Procedure, record: &[u8]) -> Decoded<bool> {
    let Ok(mut results) = rpc::results(record)? else { return Ok(false) };
    if procedure.version == 4 {
        return match compound(results) {
            Ok(()) => Ok(true),
            Err(Broken::Status(_)) => Ok(false),
            Err(Broken::Malformed(malformed)) => Err(malformed),
        };
    }
    if results.u32()? != 0 {
        return Ok(false);
    }
    three(procedure, &mut results).map(|()| true)
}

fn three(procedure: Procedure, from: &mut Decoder<'_>) -> Decoded<()> {
    if procedure.program == MOUNT_PROGRAM {
        return Handle::decode(from).map(drop);
    }
    match procedure {
        calls::GETATTR => calls::attributes(from).map(drop),
        calls::LOOKUP => Handle::decode(from).and_then(|_| calls::after(from)).map(drop),
        calls::READ => calls::data(from, MOST).map(drop),
        calls::WRITE => calls::written(from, MOST as usize).map(drop),
        calls::CREATE | calls::MKDIR => calls::maybe_handle(from).map(drop),
        calls::READDIRPLUS => calls::page(from).map(drop),
        calls::LINK => calls::after(from).map(drop),
        calls::FSSTAT => calls::space(from).map(drop),
        calls::FSINFO => calls::limits(from).map(drop),
        calls::COMMIT => calls::committed(from).map(drop),
        _ => calls::around(from).map(drop),
    }
}

fn compound(from: Decoder<'_>) -> Found<()> {
    let mut results = Results::open(from)?;
    while let Some(number) = results.upcoming() {
        match number {
            op::GETFH => results.handle().map(drop)?,
            op::GETATTR => results.attributes().map(drop)?,
            op::SETATTR => results.size_set()?,
            op::CREATE => results.folder_created()?,
            op::REMOVE | op::LINK | op::RENAME => results.changed(number)?,
            op::READDIR => results.page().map(drop)?,
            op::READ => results.data(MOST).map(drop)?,
            op::WRITE => results.written(MOST as usize).map(drop)?,
            op::COMMIT => results.committed().map(drop)?,
            op::OPEN => results.opened().map(drop)?,
            op::CLOSE | op::LOCK | op::LOCKU => results.state(number).map(drop)?,
            op::SEEK => results.sought().map(drop)?,
            op::COPY => results.copied().map(drop)?,
            op::EXCHANGE_ID => results.exchanged().map(drop)?,
            op::CREATE_SESSION => results.session_created().map(drop)?,
            op::SEQUENCE => {
                let from = results.next(number)?;
                from.fixed::<16>()?;
                for _ in 0..5 {
                    from.u32()?;
                }
            }
            op::BIND_CONN_TO_SESSION => {
                let from = results.next(number)?;
                from.fixed::<16>()?;
                from.u64()?;
            }
            other => results.done(&[other])?,
        }
    }
    Ok(())
}
