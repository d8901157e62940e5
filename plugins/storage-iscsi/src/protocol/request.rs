//! What an initiator sends, header by header (RFC 7143, sections 11.3 to 11.18). The numbers that every request carries
//! are filled in by [`numbered`].

use super::header::{FINAL, Header, IMMEDIATE, NONE, request};

/// Numbers of a request: its own, or that of the next command, and the response that is waited for.
#[must_use]
pub fn numbered(header: Header, command: u32, expected_status: u32) -> Header {
    header.put_u32(24, command).put_u32(28, expected_status)
}

/// What a login request says in its header (11.12).
#[derive(Debug, Clone, Copy)]
pub struct LoginHeader {
    pub transit: bool,
    pub current: u8,
    pub next: u8,
    pub isid: [u8; 6],
    pub session: u16,
}

pub fn login(login: LoginHeader) -> Header {
    let flags = if login.transit { FINAL | login.current << 2 | login.next } else { login.current << 2 };
    Header::new(request::LOGIN | IMMEDIATE, flags).put(8, &login.isid).put_u16(14, login.session)
}

/// Which way the data of a command goes, and how much it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    None,
    In(u32),
    Out(u32),
}

/// A SCSI command (11.3) as a simple task. `last`: no data follows unasked.
pub fn command(tag: u32, lun: [u8; 8], cdb: &[u8; 16], transfer: Transfer, last: bool) -> Header {
    const READ: u8 = 0x40;
    const WRITE: u8 = 0x20;
    const SIMPLE: u8 = 1;
    let (way, length) = match transfer {
        Transfer::None => (0, 0),
        Transfer::In(length) => (READ, length),
        Transfer::Out(length) => (WRITE, length),
    };
    let flags = way | SIMPLE | if last { FINAL } else { 0 };
    Header::new(request::COMMAND, flags).put(8, &lun).tagged(tag).put_u32(20, length).put(32, cdb)
}

/// A piece of a write (11.7). `transfer` is that of the R2T, or [`NONE`] where the data goes unasked.
#[derive(Debug, Clone, Copy)]
pub struct DataOut {
    pub tag: u32,
    pub lun: [u8; 8],
    pub transfer: u32,
    pub number: u32,
    pub offset: u32,
    pub last: bool,
}

pub fn data_out(piece: DataOut, expected_status: u32) -> Header {
    Header::new(request::DATA_OUT, if piece.last { FINAL } else { 0 })
        .put(8, &piece.lun)
        .tagged(piece.tag)
        .put_u32(20, piece.transfer)
        .put_u32(28, expected_status)
        .put_u32(36, piece.number)
        .put_u32(40, piece.offset)
}

/// Asks the target for a sign of life (11.18).
pub fn ping(tag: u32) -> Header {
    Header::new(request::NOP_OUT | IMMEDIATE, FINAL).tagged(tag).put_u32(20, NONE)
}

/// Answers the target's ping, with its own tag and unit.
pub fn pong(transfer: u32, lun: [u8; 8]) -> Header {
    Header::new(request::NOP_OUT | IMMEDIATE, FINAL).put(8, &lun).tagged(NONE).put_u32(20, transfer)
}

/// Functions of task management (11.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    AbortTask,
    LogicalUnitReset,
}

/// `task` and `command` are the tag and number of the task to abort, or [`NONE`] and 0.
pub fn task_management(tag: u32, function: Function, lun: [u8; 8], task: u32, command: u32) -> Header {
    let function = match function {
        Function::AbortTask => 1,
        Function::LogicalUnitReset => 5,
    };
    Header::new(request::TASK_MANAGEMENT | IMMEDIATE, FINAL | function)
        .put(8, &lun)
        .tagged(tag)
        .put_u32(20, task)
        .put_u32(32, command)
}

/// A text request (11.10); `transfer` is the target's, where it has more to say.
pub fn text(tag: u32, transfer: u32) -> Header {
    Header::new(request::TEXT | IMMEDIATE, FINAL).tagged(tag).put_u32(20, transfer)
}

/// Ends the session (11.14).
pub fn logout(tag: u32) -> Header {
    Header::new(request::LOGOUT | IMMEDIATE, FINAL).tagged(tag)
}
