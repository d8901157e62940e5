//! The data of commands: out with the command, unasked or asked for, and in.

use std::borrow::Cow;

use super::{Body, Data, Session, Task, room};
use crate::protocol::Fault;
use crate::protocol::frame::write;
use crate::protocol::header::NONE;
use crate::protocol::request::{self, DataOut, numbered};

impl<W> Session<W> {
    /// Sends what waits, as far as the target's window goes.
    pub(super) fn issue(&mut self) {
        while !self.waiting.is_empty() && !self.resets() {
            let Some(number) = self.sequence.next_command() else { return };
            let Some((who, command)) = self.waiting.pop_front() else { return };
            let tag = self.tag();
            self.send_command(tag, number, &command);
            let received = Vec::new();
            self.tasks.insert(
                tag,
                Task { who, command, received, passed: None, next: 0, number, seconds: 0, suspect: false },
            );
        }
    }

    /// The command, and as much of its data as may go unasked.
    fn send_command(&mut self, tag: u32, number: u32, command: &super::Command) {
        let data: &[u8] = match &command.data {
            Data::Out(data) => data,
            Data::None | Data::In(_) => &[],
        };
        let agreed = self.agreed;
        let (first_burst, segment) = (agreed.first_burst as usize, agreed.segment as usize);
        let immediate = if agreed.immediate { data.len().min(first_burst).min(segment) } else { 0 };
        let unasked = if agreed.asks_first { immediate } else { data.len().min(first_burst) };
        let transfer = command.data.transfer();
        let header = request::command(tag, command.lun, &command.cdb, transfer, unasked == immediate);
        let header = numbered(header, number, self.sequence.expected_status());
        write(room(&mut self.output), header, &data[..immediate], agreed.digests);
        let piece = DataOut { tag, lun: command.lun, transfer: NONE, number: 0, offset: 0, last: false };
        self.send_data(piece, &data[..unasked], immediate);
    }

    /// Data of a sequence from `from` to the end of `data`, in segments that the target takes.
    fn send_data(&mut self, mut piece: DataOut, data: &[u8], from: usize) {
        let segment = self.agreed.segment as usize;
        let mut at = from;
        while at < data.len() {
            let end = data.len().min(at + segment);
            piece.offset = at as u32;
            piece.last = end == data.len();
            let header = request::data_out(piece, self.sequence.expected_status());
            write(room(&mut self.output), header, &data[at..end], self.agreed.digests);
            piece.number += 1;
            at = end;
        }
    }

    /// Sections 11.7.4 and 11.7.5: in order, each with the number that is next, none past what was asked for.
    pub(super) fn data_in(&mut self, tag: u32, number: u32, offset: u32, data: Body<'_>) -> Result<(), Fault> {
        let task = self.tasks.get_mut(&tag).ok_or(Fault::Format("data is for no command of ours"))?;
        let Data::In(length) = task.command.data else {
            return Err(Fault::Format("data is for a command that reads none"));
        };
        // A segment without data carries a status alone.
        if data.len() == 0 {
            return Ok(());
        }
        if number != task.next || offset as usize != task.come() {
            return Err(Fault::Sequence("data of a read is missing or comes twice"));
        }
        if task.come() + data.len() > length as usize {
            return Err(Fault::Format("more data comes than was asked for"));
        }
        task.next = task.next.wrapping_add(1);
        match data {
            Body::Passed(payload) => task.passed = Some(payload),
            Body::Seen(Cow::Owned(data)) if task.received.is_empty() => task.received = data,
            Body::Seen(data) => {
                if task.received.is_empty() {
                    task.received.reserve_exact(length as usize);
                }
                task.received.extend_from_slice(&data);
            }
        }
        Ok(())
    }

    /// Section 11.8.
    pub(super) fn ready_to_transfer(
        &mut self,
        tag: u32,
        transfer: u32,
        number: u32,
        offset: u32,
        length: u32,
    ) -> Result<(), Fault> {
        let mut task = self.tasks.remove(&tag).ok_or(Fault::Format("the target wants data of no command of ours"))?;
        let asked = ask(&mut task, number, offset, length, self.agreed.burst);
        if let (Ok(end), Data::Out(data)) = (&asked, &task.command.data) {
            let piece = DataOut { tag, lun: task.command.lun, transfer, number: 0, offset, last: false };
            let end = *end;
            self.send_data(piece, &data[..end], offset as usize);
        }
        self.tasks.insert(tag, task);
        asked.map(drop)
    }
}

/// Checks what is asked for; gives where it ends.
fn ask<W>(task: &mut Task<W>, number: u32, offset: u32, length: u32, burst: u32) -> Result<usize, Fault> {
    let Data::Out(data) = &task.command.data else {
        return Err(Fault::Format("the target wants data of a command that has none"));
    };
    if number != task.next {
        return Err(Fault::Sequence("a request for data is missing or comes twice"));
    }
    task.next = task.next.wrapping_add(1);
    // In 64 bits: both are the target's words.
    let end = u64::from(offset) + u64::from(length);
    if length == 0 || length > burst || end > data.len() as u64 {
        return Err(Fault::Format("the target wants data that there is not"));
    }
    Ok(end as usize)
}
