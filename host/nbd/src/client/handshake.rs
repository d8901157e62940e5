//! What a client says before its first request (proto.md, "Fixed newstyle negotiation").

use bytes::{Buf, BufMut, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::out_of_step;
use crate::wire::{GREETING, LONGEST_STRING, MOST_PAYLOAD, OPTION, OPTION_REPLY, answer, handshake, info, option};
use crate::{Error, Kind};

/// Longest data of one answer to an option: a name, and a few numbers.
const LONGEST_ANSWER: usize = LONGEST_STRING + 64;
/// Most answers to one option.
const MOST_ANSWERS: usize = 64;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) size: u64,
    pub(super) flags: u16,
    pub(super) most: u32,
    /// The numbers of the contexts, as they were asked for.
    pub(super) contexts: Vec<u32>,
}

pub(super) async fn shake(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    export: &str,
    contexts: &[&str],
) -> Result<Agreed, Error> {
    if export.len() > LONGEST_STRING || contexts.iter().any(|context| context.len() > LONGEST_STRING) {
        return Err(Error::new(Kind::Invalid, "a name that is too long"));
    }
    let mut greeting = [0; 18];
    stream.read_exact(&mut greeting).await?;
    let mut greeting = &greeting[..];
    if (greeting.get_u64(), greeting.get_u64()) != (GREETING, OPTION) {
        return Err(Error::new(Kind::Unsupported, "it does not greet as a server of NBD does"));
    }
    let both = handshake::FIXED_NEWSTYLE | handshake::NO_ZEROES;
    let offered = greeting.get_u16();
    if offered & handshake::FIXED_NEWSTYLE == 0 {
        return Err(Error::new(Kind::Unsupported, "it speaks an older NBD"));
    }
    let mut said = Vec::new();
    said.put_u32(u32::from(both & offered));
    stream.write_all(&said).await?;

    ask(stream, option::STRUCTURED_REPLY, &[], |_, _| Ok(())).await?;
    let mut agreed = Agreed { most: MOST_PAYLOAD, ..Agreed::default() };
    if !contexts.is_empty() {
        let mut chosen = vec![None; contexts.len()];
        let mut data = Vec::new();
        put_string(&mut data, export);
        data.put_u32(contexts.len() as u32);
        contexts.iter().for_each(|context| put_string(&mut data, context));
        ask(stream, option::SET_META_CONTEXT, &data, |kind, mut data| {
            let number = data.try_get_u32().map_err(|_| out_of_step())?;
            match contexts.iter().position(|context| context.as_bytes() == &data[..]) {
                Some(place) if kind == answer::META_CONTEXT => chosen[place] = Some(number),
                Some(_) | None => return Err(out_of_step()),
            }
            Ok(())
        })
        .await?;
        agreed.contexts = chosen
            .into_iter()
            .collect::<Option<_>>()
            .ok_or_else(|| Error::new(Kind::Unsupported, format!("it cannot tell all of {}", contexts.join(", "))))?;
    }
    let mut data = Vec::new();
    put_string(&mut data, export);
    data.put_u16(1);
    data.put_u16(info::BLOCK_SIZE);
    let mut known = false;
    ask(stream, option::GO, &data, |kind, mut data| {
        if kind != answer::INFO {
            return Err(out_of_step());
        }
        match data.try_get_u16().map_err(|_| out_of_step())? {
            info::EXPORT if data.len() == 10 => {
                (agreed.size, agreed.flags) = (data.get_u64(), data.get_u16());
                known = true;
            }
            info::BLOCK_SIZE if data.len() == 12 => {
                data.advance(8);
                agreed.most = data.get_u32();
            }
            _ => {}
        }
        Ok(())
    })
    .await?;
    if !known || agreed.most == 0 {
        return Err(out_of_step());
    }
    Ok(agreed)
}

fn put_string(data: &mut Vec<u8>, text: &str) {
    data.put_u32(text.len() as u32);
    data.put_slice(text.as_bytes());
}

/// Says an option; each answer but the last goes to `heard`.
async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    option: u32,
    data: &[u8],
    mut heard: impl FnMut(u32, Bytes) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut said = Vec::with_capacity(16 + data.len());
    said.put_u64(OPTION);
    said.put_u32(option);
    said.put_u32(data.len() as u32);
    said.put_slice(data);
    stream.write_all(&said).await?;
    stream.flush().await?;
    for _ in 0..MOST_ANSWERS {
        let mut header = [0; 20];
        stream.read_exact(&mut header).await?;
        let mut header = &header[..];
        let (magic, about, kind) = (header.get_u64(), header.get_u32(), header.get_u32());
        let length = header.get_u32() as usize;
        if magic != OPTION_REPLY || about != option || length > LONGEST_ANSWER {
            return Err(out_of_step());
        }
        let mut data = vec![0; length];
        stream.read_exact(&mut data).await?;
        match kind {
            answer::ACK => return Ok(()),
            _ if kind & answer::ERROR != 0 => return Err(refused(kind, &data)),
            _ => heard(kind, data.into())?,
        }
    }
    Err(out_of_step())
}

fn refused(kind: u32, words: &[u8]) -> Error {
    let kind = match kind {
        answer::POLICY => Kind::NotPermitted,
        answer::UNSUPPORTED => Kind::Unsupported,
        answer::SHUTDOWN => Kind::ShuttingDown,
        _ => Kind::Invalid,
    };
    Error::new(kind, super::replies::words(words, "it refuses without a reason"))
}
