//! What a target sends, as values (RFC 7143, sections 11.4 to 11.19).

use super::Fault;
use super::header::{FINAL, Header, NONE, response};
use super::sequence::Numbers;

/// SCSI status that ends a task (SAM-5, section 5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Good,
    CheckCondition,
    ConditionMet,
    Busy,
    ReservationConflict,
    TaskSetFull,
    AcaActive,
    TaskAborted,
    /// One that the standard does not name, or none because the target failed.
    Other(u8),
}

impl Status {
    fn read(byte: u8) -> Self {
        match byte {
            0x00 => Status::Good,
            0x02 => Status::CheckCondition,
            0x04 => Status::ConditionMet,
            0x08 => Status::Busy,
            0x18 => Status::ReservationConflict,
            0x28 => Status::TaskSetFull,
            0x30 => Status::AcaActive,
            0x40 => Status::TaskAborted,
            other => Status::Other(other),
        }
    }
}

/// What a target says about data that did not move (11.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residual {
    None,
    /// So many bytes of what was expected were not moved.
    Under(u32),
    /// So many bytes more than were expected would have had to be.
    Over(u32),
}

impl Residual {
    fn read(header: &Header) -> Self {
        const OVER: u8 = 0x04;
        const UNDER: u8 = 0x02;
        match header.flags() {
            flags if flags & OVER != 0 => Residual::Over(header.u32(44)),
            flags if flags & UNDER != 0 => Residual::Under(header.u32(44)),
            _ => Residual::None,
        }
    }
}

/// One PDU of a target's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<'a> {
    /// A ping of the target's where `transfer` is not [`NONE`], else the answer to one of ours (11.19).
    Nop {
        numbers: Numbers,
        tag: u32,
        transfer: u32,
        lun: [u8; 8],
    },
    /// A command has ended (11.4). `sense` is empty where there is none.
    Response {
        numbers: Numbers,
        tag: u32,
        delivered: bool,
        status: Status,
        residual: Residual,
        sense: &'a [u8],
    },
    /// Data of a read, and its status too where this is its last PDU and all went well (11.7).
    DataIn {
        numbers: Numbers,
        tag: u32,
        number: u32,
        offset: u32,
        status: Option<Status>,
        /// Of no meaning without a status.
        residual: Residual,
        data: &'a [u8],
    },
    /// The target wants this part of a write (11.8).
    ReadyToTransfer {
        numbers: Numbers,
        tag: u32,
        transfer: u32,
        number: u32,
        offset: u32,
        length: u32,
    },
    TaskManagement {
        numbers: Numbers,
        tag: u32,
        response: u8,
    },
    Login {
        numbers: Numbers,
        login: LoginReply,
        text: &'a [u8],
    },
    Text {
        numbers: Numbers,
        tag: u32,
        transfer: u32,
        more: bool,
        last: bool,
        text: &'a [u8],
    },
    Logout {
        numbers: Numbers,
        response: u8,
    },
    /// Something that happened at the target (11.9).
    Async {
        numbers: Numbers,
        event: AsyncEvent,
        sense: &'a [u8],
    },
    Reject {
        numbers: Numbers,
        reason: u8,
    },
}

/// The header of a login response (11.13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginReply {
    /// The target agrees to go to stage `next`.
    pub transit: bool,
    /// Another piece of this text follows.
    pub more: bool,
    pub current: u8,
    pub next: u8,
    pub session: u16,
    pub class: u8,
    pub detail: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsyncEvent {
    /// Sense data of a logical unit.
    Sense,
    /// We are to log out within so many seconds.
    LogoutWanted { within: u16 },
    /// This connection, or all of the session, goes now; a new login may come after so many seconds.
    Dropped { wait: u16 },
    /// Keys are to be negotiated again.
    Renegotiate,
    /// Of the vendor's own, or of a later standard.
    Other(u8),
}

impl<'a> Reply<'a> {
    /// # Errors
    /// No opcode of a target's, or a field that contradicts another.
    pub fn read(header: &Header, data: &'a [u8]) -> Result<Self, Fault> {
        let numbers = numbers(header);
        let tag = header.tag();
        match header.opcode() {
            response::NOP_IN => Ok(Reply::Nop { numbers, tag, transfer: header.u32(20), lun: header.lun() }),
            response::RESPONSE => Ok(Reply::Response {
                numbers,
                tag,
                delivered: header.byte(2) == 0,
                status: Status::read(header.byte(3)),
                residual: Residual::read(header),
                sense: sense(data)?,
            }),
            response::DATA_IN => Ok(Reply::DataIn {
                numbers,
                tag,
                number: header.u32(36),
                offset: header.u32(40),
                status: (header.flags() & 0x01 != 0).then(|| Status::read(header.byte(3))),
                residual: Residual::read(header),
                data,
            }),
            response::READY_TO_TRANSFER => Ok(Reply::ReadyToTransfer {
                numbers,
                tag,
                transfer: header.u32(20),
                number: header.u32(36),
                offset: header.u32(40),
                length: header.u32(44),
            }),
            response::TASK_MANAGEMENT => Ok(Reply::TaskManagement { numbers, tag, response: header.byte(2) }),
            response::LOGIN => Ok(Reply::Login { numbers, login: login(header), text: data }),
            response::TEXT => Ok(Reply::Text {
                numbers,
                tag,
                transfer: header.u32(20),
                more: header.flags() & 0x40 != 0,
                last: header.flags() & FINAL != 0,
                text: data,
            }),
            response::LOGOUT => Ok(Reply::Logout { numbers, response: header.byte(2) }),
            response::ASYNC => Ok(Reply::Async {
                numbers,
                event: event(header),
                sense: if header.byte(36) == 0 { sense(data)? } else { &[] },
            }),
            response::REJECT => Ok(Reply::Reject { numbers, reason: header.byte(2) }),
            _ => Err(Fault::Format("a PDU has an opcode that no target sends")),
        }
    }

    pub fn numbers(&self) -> Numbers {
        match *self {
            Reply::Nop { numbers, .. }
            | Reply::Response { numbers, .. }
            | Reply::DataIn { numbers, .. }
            | Reply::ReadyToTransfer { numbers, .. }
            | Reply::TaskManagement { numbers, .. }
            | Reply::Login { numbers, .. }
            | Reply::Text { numbers, .. }
            | Reply::Logout { numbers, .. }
            | Reply::Async { numbers, .. }
            | Reply::Reject { numbers, .. } => numbers,
        }
    }

    /// Whether it takes a number of its own: R2T, pings of the target's, and data without status do not.
    pub fn is_response(&self) -> bool {
        match self {
            Reply::Nop { tag, .. } => *tag != NONE,
            Reply::DataIn { status, .. } => status.is_some(),
            Reply::ReadyToTransfer { .. } => false,
            Reply::Response { .. }
            | Reply::TaskManagement { .. }
            | Reply::Login { .. }
            | Reply::Text { .. }
            | Reply::Logout { .. }
            | Reply::Async { .. }
            | Reply::Reject { .. } => true,
        }
    }
}

fn numbers(header: &Header) -> Numbers {
    Numbers { status: header.u32(24), expected_command: header.u32(28), maximum_command: header.u32(32) }
}

fn login(header: &Header) -> LoginReply {
    let flags = header.flags();
    LoginReply {
        transit: flags & FINAL != 0,
        more: flags & 0x40 != 0,
        current: flags >> 2 & 3,
        next: flags & 3,
        session: header.u16(14),
        class: header.byte(36),
        detail: header.byte(37),
    }
}

fn event(header: &Header) -> AsyncEvent {
    match header.byte(36) {
        0 => AsyncEvent::Sense,
        1 => AsyncEvent::LogoutWanted { within: header.u16(42) },
        2 | 3 => AsyncEvent::Dropped { wait: header.u16(40) },
        4 => AsyncEvent::Renegotiate,
        other => AsyncEvent::Other(other),
    }
}

/// Sense data stands behind its own length (11.4.7.2).
fn sense(data: &[u8]) -> Result<&[u8], Fault> {
    let Some((length, rest)) = data.split_first_chunk::<2>() else {
        return if data.is_empty() { Ok(&[]) } else { Err(Fault::Format("sense data has no length")) };
    };
    rest.get(..usize::from(u16::from_be_bytes(*length))).ok_or(Fault::Format("sense data is cut short"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: Header, data: &[u8]) -> Result<Reply<'_>, Fault> {
        Reply::read(&header.with_data_length(data.len()), data)
    }

    #[test]
    fn sense_is_what_its_length_says() {
        let header = Header::new(response::RESPONSE, FINAL).put(3, &[2]);
        let Reply::Response { status, sense, delivered, .. } = read(header, &[0, 2, 0x70, 0, 9, 9]).unwrap() else {
            panic!("a response");
        };
        assert_eq!((status, sense, delivered), (Status::CheckCondition, &[0x70, 0][..], true));
        assert!(read(header, &[0, 9, 0x70]).is_err());
        assert!(read(header, &[0]).is_err());
    }

    #[test]
    fn the_last_data_may_carry_the_status() {
        let header = Header::new(response::DATA_IN, FINAL | 1).put_u32(40, 512).tagged(3);
        let reply = read(header, b"data").unwrap();
        assert!(reply.is_response());
        assert!(matches!(reply, Reply::DataIn { status: Some(Status::Good), offset: 512, tag: 3, .. }));
        assert!(!read(Header::new(response::DATA_IN, 0), b"data").unwrap().is_response());
    }

    #[test]
    fn what_only_an_initiator_sends_is_refused() {
        for opcode in [0x00, 0x01, 0x05, 0x1c, 0x3e] {
            assert!(read(Header::new(opcode, 0), &[]).is_err(), "{opcode:#x}");
        }
    }
}
