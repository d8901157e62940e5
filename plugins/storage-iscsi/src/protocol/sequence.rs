//! Numbers of commands and responses (RFC 7143, section 4.2.2).

use super::Fault;

/// Whether `a` comes before `b`, in serial number arithmetic (RFC 1982).
fn before(a: u32, b: u32) -> bool {
    (b.wrapping_sub(a) as i32) > 0
}

/// The three numbers that every response carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// The response's own, or the next one where the PDU is no response (section 4.2.2.2).
    pub status: u32,
    pub expected_command: u32,
    pub maximum_command: u32,
}

/// The initiator's side of the numbering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    next_command: u32,
    maximum_command: u32,
    next_status: u32,
}

impl Sequence {
    /// After a login whose commands were numbered `command` and whose last response was `last`.
    pub fn after_login(command: u32, last: Numbers) -> Self {
        let mut sequence = Sequence {
            next_command: command,
            maximum_command: command.wrapping_sub(1),
            next_status: last.status.wrapping_add(1),
        };
        sequence.window(last);
        sequence
    }

    /// The number of the next command; none while the target's window is full.
    pub fn next_command(&mut self) -> Option<u32> {
        if before(self.maximum_command, self.next_command) {
            return None;
        }
        let number = self.next_command;
        self.next_command = number.wrapping_add(1);
        Some(number)
    }

    /// What an immediate command carries: the next number, which stays the next.
    pub fn immediate_command(&self) -> u32 {
        self.next_command
    }

    /// The response that we wait for, told to the target in every PDU.
    pub fn expected_status(&self) -> u32 {
        self.next_status
    }

    /// A response came.
    ///
    /// # Errors
    /// It is not the next one: with error recovery level 0, a lost PDU ends the session.
    pub fn response(&mut self, numbers: Numbers) -> Result<(), Fault> {
        if numbers.status != self.next_status {
            return Err(Fault::Sequence("a response has not the number that was next"));
        }
        self.next_status = self.next_status.wrapping_add(1);
        self.window(numbers);
        Ok(())
    }

    /// A PDU came that is no response; its window counts all the same.
    pub fn window(&mut self, numbers: Numbers) {
        // "If the MaxCmdSN is less than ExpCmdSN-1 (in serial arithmetic), both are ignored."
        let sane = !before(numbers.maximum_command, numbers.expected_command.wrapping_sub(1));
        if sane && before(self.maximum_command, numbers.maximum_command) {
            self.maximum_command = numbers.maximum_command;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(status: u32, expected_command: u32, maximum_command: u32) -> Numbers {
        Numbers { status, expected_command, maximum_command }
    }

    #[test]
    fn commands_stay_within_the_window_also_where_numbers_wrap() {
        let mut sequence = Sequence::after_login(u32::MAX, numbers(7, u32::MAX, 0));
        assert_eq!(sequence.next_command(), Some(u32::MAX));
        assert_eq!(sequence.next_command(), Some(0));
        assert_eq!(sequence.next_command(), None);
        sequence.response(numbers(8, 1, 1)).unwrap();
        assert_eq!(sequence.next_command(), Some(1));
        assert_eq!(sequence.next_command(), None);
    }

    #[test]
    fn a_window_never_shrinks_and_nonsense_is_ignored() {
        let mut sequence = Sequence::after_login(1, numbers(0, 1, 32));
        sequence.window(numbers(1, 1, 8));
        assert_eq!(sequence.maximum_command, 32);
        sequence.window(numbers(1, 90, 60));
        assert_eq!(sequence.maximum_command, 32);
    }

    #[test]
    fn a_response_that_is_missing_ends_it() {
        let mut sequence = Sequence::after_login(1, numbers(4, 1, 32));
        sequence.response(numbers(5, 1, 32)).unwrap();
        assert!(sequence.response(numbers(7, 1, 32)).is_err());
        assert!(sequence.response(numbers(5, 1, 32)).is_err());
    }
}
