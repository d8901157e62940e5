//! What comes before the first request: bytes in, bytes out, no waiting (proto.md, "Fixed newstyle negotiation").
//!
//! ```text
//!   Flags ─▸ Option ─▸ … ─▸ Option ─▸ GO or EXPORT_NAME: serve
//!              │ too long             └▸ ABORT, or what is no option: end
//!              ▾
//!             Skip ─▸ Option
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::export::{Export, Offer, Refusal};
use crate::wire::{
    ALLOCATION, ALLOCATION_NUMBER, GREETING, MOST_PAYLOAD, OPTION, OPTION_REPLY, answer, handshake, info, option,
};

/// Longest data of an option: some names and queries. What is longer is skipped and refused.
const LONGEST_OPTION: usize = 64 << 10;
const OPTION_HEADER: usize = 16;

/// What the two sides agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) size: u64,
    pub(crate) structured: bool,
    /// `base:allocation` was chosen.
    pub(crate) allocation: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Bytes are missing.
    More,
    Serve(Agreed),
    /// The connection ends once the output is sent.
    End,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Flags,
    Option,
    Skip { option: u32, left: usize },
}

#[derive(Debug)]
pub(crate) struct Handshake {
    state: State,
    no_zeroes: bool,
    structured: bool,
    allocation: bool,
}

impl Handshake {
    /// Says the greeting.
    pub(crate) fn new(output: &mut Vec<u8>) -> Self {
        output.put_u64(GREETING);
        output.put_u64(OPTION);
        output.put_u16(handshake::FIXED_NEWSTYLE | handshake::NO_ZEROES);
        Handshake { state: State::Flags, no_zeroes: false, structured: false, allocation: false }
    }

    /// Takes what is whole of `input`, and appends the answers to `output`.
    pub(crate) fn advance(
        &mut self,
        input: &mut BytesMut,
        output: &mut Vec<u8>,
        export: &Export,
        offer: &Offer,
    ) -> Outcome {
        loop {
            match self.state {
                State::Flags => {
                    if input.len() < 4 {
                        return Outcome::More;
                    }
                    let flags = input.get_u32();
                    if flags & !u32::from(handshake::FIXED_NEWSTYLE | handshake::NO_ZEROES) != 0 {
                        return Outcome::End;
                    }
                    self.no_zeroes = flags & u32::from(handshake::NO_ZEROES) != 0;
                    self.state = State::Option;
                }
                State::Option => {
                    if input.len() < OPTION_HEADER {
                        return Outcome::More;
                    }
                    let mut header = &input[..OPTION_HEADER];
                    if header.get_u64() != OPTION {
                        return Outcome::End;
                    }
                    let option = header.get_u32();
                    let length = header.get_u32() as usize;
                    if length > LONGEST_OPTION {
                        input.advance(OPTION_HEADER);
                        self.state = State::Skip { option, left: length };
                        continue;
                    }
                    if input.len() < OPTION_HEADER + length {
                        return Outcome::More;
                    }
                    input.advance(OPTION_HEADER);
                    let data = input.split_to(length).freeze();
                    let mut say = Say { option, output, export, offer };
                    match self.option(data, &mut say) {
                        Outcome::More => {}
                        end @ (Outcome::Serve(_) | Outcome::End) => return end,
                    }
                }
                State::Skip { option, left } => {
                    let here = left.min(input.len());
                    input.advance(here);
                    if here < left {
                        self.state = State::Skip { option, left: left - here };
                        return Outcome::More;
                    }
                    if option == option::EXPORT_NAME {
                        return Outcome::End;
                    }
                    Say { option, output, export, offer }.error(answer::TOO_BIG, "the option is too long");
                    self.state = State::Option;
                }
            }
        }
    }

    fn option(&mut self, data: Bytes, say: &mut Say) -> Outcome {
        match say.option {
            option::EXPORT_NAME => {
                // No way to say why not, so the connection ends.
                if say.offer.ending || find(&data, say).is_err() {
                    return Outcome::End;
                }
                say.output.put_u64(say.offer.size);
                say.output.put_u16(say.offer.flags(self.structured));
                if !self.no_zeroes {
                    say.output.put_bytes(0, 124);
                }
                return self.serve(say);
            }
            option::ABORT => {
                say.reply(answer::ACK, &[]);
                return Outcome::End;
            }
            _ if say.offer.ending => say.error(answer::SHUTDOWN, "the server is about to end"),
            option::LIST if !data.is_empty() => say.error(answer::INVALID, "LIST takes no data"),
            option::LIST => say.list(),
            option::STRUCTURED_REPLY if !data.is_empty() => {
                say.error(answer::INVALID, "STRUCTURED_REPLY takes no data");
            }
            option::STRUCTURED_REPLY => {
                self.structured = true;
                say.reply(answer::ACK, &[]);
            }
            option::INFO | option::GO => {
                let Some((name, wanted)) = information(data) else {
                    say.error(answer::INVALID, "the option's data has another length than it says");
                    return Outcome::More;
                };
                if let Err(refusal) = find(&name, say) {
                    say.refuse(&refusal);
                    return Outcome::More;
                }
                say.inform(&wanted, self.structured);
                if say.option == option::GO {
                    return self.serve(say);
                }
            }
            option::LIST_META_CONTEXT | option::SET_META_CONTEXT => self.contexts(data, say),
            _ => say.error(answer::UNSUPPORTED, "the option is not known here"),
        }
        Outcome::More
    }

    fn serve(&self, say: &Say) -> Outcome {
        Outcome::Serve(Agreed { size: say.offer.size, structured: self.structured, allocation: self.allocation })
    }

    fn contexts(&mut self, data: Bytes, say: &mut Say) {
        let set = say.option == option::SET_META_CONTEXT;
        if set {
            // Each choice replaces the one before, a failed one too.
            self.allocation = false;
        }
        if !self.structured {
            return say.error(answer::INVALID, "structured replies come first");
        }
        let Some((name, queries)) = queries(data) else {
            return say.error(answer::INVALID, "the option's data has another length than it says");
        };
        if let Err(refusal) = find(&name, say) {
            return say.refuse(&refusal);
        }
        let named = queries.iter().any(|query| query == ALLOCATION.as_bytes());
        // Who lists may ask for all, or for a whole namespace; who chooses names one.
        let listed = queries.is_empty() || queries.iter().any(|query| &query[..] == b"base:");
        if named || (listed && !set) {
            self.allocation |= set;
            let number = if set { ALLOCATION_NUMBER } else { 0 };
            say.reply(answer::META_CONTEXT, &[&number.to_be_bytes(), ALLOCATION.as_bytes()]);
        }
        say.reply(answer::ACK, &[]);
    }
}

/// Answers to one option.
struct Say<'s> {
    option: u32,
    output: &'s mut Vec<u8>,
    export: &'s Export,
    offer: &'s Offer,
}

impl Say<'_> {
    fn reply(&mut self, kind: u32, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.output.put_u64(OPTION_REPLY);
        self.output.put_u32(self.option);
        self.output.put_u32(kind);
        self.output.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        for part in parts {
            self.output.put_slice(part);
        }
    }

    fn error(&mut self, kind: u32, message: &str) {
        self.reply(kind, &[message.as_bytes()]);
    }

    fn refuse(&mut self, refusal: &Refusal) {
        match refusal {
            Refusal::Policy(why) => self.error(answer::POLICY, why),
            Refusal::Unknown(why) => self.error(answer::UNKNOWN, why),
        }
    }

    fn list(&mut self) {
        let name = self.export.name();
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
        let description = self.export.description.clone();
        self.reply(answer::SERVER, &[&length.to_be_bytes(), name.as_bytes(), description.as_bytes()]);
        self.reply(answer::ACK, &[]);
    }

    /// The export itself always; the rest where it was asked for.
    fn inform(&mut self, wanted: &[u16], structured: bool) {
        let (size, flags) = (self.offer.size.to_be_bytes(), self.offer.flags(structured).to_be_bytes());
        self.reply(answer::INFO, &[&info::EXPORT.to_be_bytes(), &size, &flags]);
        for &kind in wanted {
            let number = kind.to_be_bytes();
            match kind {
                info::NAME => self.reply(answer::INFO, &[&number, self.export.name().as_bytes()]),
                info::DESCRIPTION if !self.export.description.is_empty() => {
                    let description = self.export.description.clone();
                    self.reply(answer::INFO, &[&number, description.as_bytes()]);
                }
                info::BLOCK_SIZE => {
                    let preferred = self.offer.preferred.to_be_bytes();
                    let most = MOST_PAYLOAD.to_be_bytes();
                    self.reply(answer::INFO, &[&number, &1u32.to_be_bytes(), &preferred, &most]);
                }
                _ => {}
            }
        }
        self.reply(answer::ACK, &[]);
    }
}

fn find(name: &[u8], say: &Say) -> Result<(), Refusal> {
    say.export.find(name)?;
    match &say.offer.fenced {
        Some(why) => Err(Refusal::Policy(why.to_string())),
        None => Ok(()),
    }
}

/// A string behind its length.
fn string(data: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(data.try_get_u32().ok()?).ok()?;
    (length <= data.len()).then(|| data.split_to(length))
}

/// The data of INFO and GO: a name, and the kinds of information that are wanted.
fn information(mut data: Bytes) -> Option<(Bytes, Vec<u16>)> {
    let name = string(&mut data)?;
    let count = usize::from(data.try_get_u16().ok()?);
    if data.len() != 2 * count {
        return None;
    }
    // Each is answered once, however often it was asked for: the answer is not to grow past the question.
    let mut wanted: Vec<u16> = Vec::new();
    for kind in std::iter::from_fn(|| data.try_get_u16().ok()) {
        if matches!(kind, info::NAME | info::DESCRIPTION | info::BLOCK_SIZE) && !wanted.contains(&kind) {
            wanted.push(kind);
        }
    }
    Some((name, wanted))
}

/// The data of the options about metadata contexts: a name, and queries.
fn queries(mut data: Bytes) -> Option<(Bytes, Vec<Bytes>)> {
    let name = string(&mut data)?;
    let count = data.try_get_u32().ok()?;
    let mut queries = Vec::new();
    for _ in 0..count {
        queries.push(string(&mut data)?);
    }
    data.is_empty().then_some((name, queries))
}

#[cfg(test)]
mod tests;
