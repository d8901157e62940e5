//! What to make of an answer: one table for control calls and for served volumes.

use fief_sdk::Error;

use super::sense::{Key, Sense};
use crate::protocol::reply::{Residual, Status};
use crate::protocol::session::{Answer, Command, Data, End};

/// What a unit told of itself by the way (UNIT ATTENTION, SAM-5, section 5.14): nothing was done, and the command may
/// be sent again at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It was reset, or we are new to it: nothing to do.
    Nothing,
    /// 2a/09
    Capacity,
    /// 2a/01: the cache may be another now.
    Mode,
    /// 2a/03, 2a/04, 2a/05: reservations or registrations are not what they were.
    Reservations,
    /// 3f/0e, and 3f/03: other units, or another unit behind this number.
    Units,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Done,
    /// Send it again at once.
    Again(News),
    /// The unit has too much to do: send it again in a moment.
    Busy,
    /// The unit is there and cannot do anything now; it may later.
    NotReady(Sense),
    /// It was given up, and may be sent again a few times.
    Hung,
    /// Another holds a reservation.
    Fenced,
    Failed(Error),
}

/// Of a command that ended; `what` says which, for people.
pub fn verdict(answer: &Answer, what: &str) -> Verdict {
    match answer.end {
        End::Answered => {}
        End::Failed => return Verdict::Failed(Error::io(format!("{what}: the target failed"))),
        End::Hung => return Verdict::Hung,
    }
    match answer.status {
        Status::Good | Status::ConditionMet => Verdict::Done,
        Status::Busy | Status::TaskSetFull | Status::AcaActive => Verdict::Busy,
        Status::TaskAborted => Verdict::Again(News::Nothing),
        Status::ReservationConflict => Verdict::Fenced,
        Status::CheckCondition => match Sense::read(&answer.sense) {
            Some(sense) => of_sense(sense, what),
            None => Verdict::Failed(Error::io(format!("{what}: the unit failed and does not say why"))),
        },
        Status::Other(status) => Verdict::Failed(Error::io(format!("{what}: the unit answered status {status:#04x}"))),
    }
}

/// Whether a read or write that went well moved all of its data. What did not come is not made up for, and what did not
/// go is not taken for written, whatever the status says.
///
/// # Errors
/// `io`: it did not.
pub fn moved(command: &Command, answer: &Answer, what: &str) -> Result<(), Error> {
    const READ: u8 = 0x88;
    const WRITE: u8 = 0x8a;
    let (wanted, came) = match (&command.data, command.cdb[0]) {
        (Data::In(length), READ) => (*length as usize, answer.data.len()),
        (Data::Out(data), WRITE) => (data.len(), data.len()),
        (Data::None | Data::In(_) | Data::Out(_), _) => return Ok(()),
    };
    match answer.residual {
        Residual::None if came == wanted => Ok(()),
        Residual::None => Err(Error::io(format!("{what}: the target sent {came} of {wanted} bytes"))),
        Residual::Under(less) => Err(Error::io(format!("{what}: the target left out {less} of {wanted} bytes"))),
        Residual::Over(more) => Err(Error::io(format!("{what}: the target took {wanted} bytes for {more} too few"))),
    }
}

fn of_sense(sense: Sense, what: &str) -> Verdict {
    let text = format!("{what}: {sense}");
    match sense.key {
        Key::Recovered => Verdict::Done,
        Key::UnitAttention => Verdict::Again(news(sense)),
        Key::Aborted => Verdict::Again(News::Nothing),
        // 25/00 comes with this key too: the unit is not there.
        Key::NotReady | Key::IllegalRequest if sense.is(0x25, 0x00) => {
            Verdict::Failed(Error::not_found(format!("{text}: the target has no such unit any more")))
        }
        Key::NotReady => Verdict::NotReady(sense),
        Key::IllegalRequest if sense.is(0x20, 0x00) || sense.is(0x24, 0x00) || sense.is(0x26, 0x00) => {
            Verdict::Failed(Error::unsupported(text))
        }
        Key::IllegalRequest => Verdict::Failed(Error::invalid(text)),
        // 27/07: a thin unit has no room left (SBC-3, section 4.7.3.6).
        Key::DataProtect if sense.is(0x27, 0x07) => {
            Verdict::Failed(Error::exhausted(format!("{text}: the target has no room left for this unit")))
        }
        Key::DataProtect => Verdict::Failed(Error::denied(format!("{text}: the unit is write-protected"))),
        Key::NoSense | Key::Medium | Key::Hardware | Key::Other(_) => Verdict::Failed(Error::io(text)),
    }
}

/// Of a UNIT ATTENTION, or of sense data that came by itself.
pub fn news(sense: Sense) -> News {
    match (sense.code, sense.qualifier) {
        (0x2a, 0x09) => News::Capacity,
        (0x2a, 0x01) => News::Mode,
        (0x2a, 0x03..=0x05) => News::Reservations,
        (0x3f, 0x03 | 0x0e) => News::Units,
        _ => News::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use fief_sdk::{ErrorCode, payload};

    use super::*;

    fn of(status: Status, key: u8, code: u8, qualifier: u8) -> Verdict {
        let sense = vec![0x72, key, code, qualifier, 0, 0, 0, 0];
        verdict(&Answer { end: End::Answered, status, sense, ..Answer::hung() }, "cannot write")
    }

    #[test]
    fn a_good_status_does_not_stand_for_data_that_did_not_move() {
        let lun = [0; 8];
        let read = crate::scsi::command::read(lun, 0, 2, 1024);
        let write = crate::scsi::command::write(lun, 0, 2, vec![0; 1024], false);
        let sense = crate::scsi::command::inquiry(lun, None);
        let good = |bytes: usize, residual| Answer {
            end: End::Answered,
            status: Status::Good,
            data: payload::Data::Bytes(vec![0; bytes]),
            residual,
            ..Answer::hung()
        };
        assert!(moved(&read, &good(1024, Residual::None), "").is_ok());
        assert!(moved(&write, &good(0, Residual::None), "").is_ok());
        assert!(moved(&sense, &good(36, Residual::Under(988)), "").is_ok(), "units say less than there is room for");
        for (command, answer) in [
            (&read, good(512, Residual::None)),
            (&read, good(512, Residual::Under(512))),
            (&read, good(1024, Residual::Under(512))),
            (&read, good(1024, Residual::Over(4))),
            (&write, good(0, Residual::Under(512))),
            (&write, good(0, Residual::Over(512))),
        ] {
            assert_eq!(moved(command, &answer, "").unwrap_err().code, ErrorCode::Io, "{answer:?}");
        }
    }

    #[test]
    fn each_answer_has_its_consequence() {
        let check = |key, code, qualifier| of(Status::CheckCondition, key, code, qualifier);
        for (key, code, qualifier, news) in [
            (6, 0x29, 0x00, News::Nothing),
            (6, 0x2a, 0x09, News::Capacity),
            (6, 0x2a, 0x01, News::Mode),
            (6, 0x2a, 0x05, News::Reservations),
            (6, 0x3f, 0x0e, News::Units),
            (11, 0x00, 0x00, News::Nothing),
        ] {
            assert_eq!(check(key, code, qualifier), Verdict::Again(news), "{key:x} {code:02x}/{qualifier:02x}");
        }
        assert!(matches!(check(2, 0x04, 0x01), Verdict::NotReady(_)));
        assert_eq!(check(1, 0x17, 0x01), Verdict::Done);
        assert_eq!(of(Status::TaskSetFull, 0, 0, 0), Verdict::Busy);
        assert_eq!(of(Status::ReservationConflict, 0, 0, 0), Verdict::Fenced);
        for (key, code, qualifier, expected) in [
            (5, 0x25, 0x00, ErrorCode::NotFound),
            (2, 0x25, 0x00, ErrorCode::NotFound),
            (5, 0x20, 0x00, ErrorCode::Unsupported),
            (5, 0x21, 0x00, ErrorCode::Invalid),
            (7, 0x27, 0x00, ErrorCode::Denied),
            (7, 0x27, 0x07, ErrorCode::Exhausted),
            (3, 0x11, 0x00, ErrorCode::Io),
            (4, 0x44, 0x00, ErrorCode::Io),
        ] {
            let Verdict::Failed(error) = check(key, code, qualifier) else { panic!("{key:x} is no failure") };
            assert_eq!(error.code, expected, "{}", error.message);
        }
    }
}
