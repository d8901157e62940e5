//! Frames on the control socket: a little-endian `u32` length and that many bytes of JSON. Both rooms use this.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::FRAME_MAX;
use crate::sys::message;

/// How long a side looks again and again for the next frame before it sleeps. An answer most often comes within this
/// time, and to be woken from sleep takes as long; more would be spent on plugins that compute.
const EAGER: Duration = Duration::from_micros(50);

/// One end of the control socket.
#[derive(Debug)]
pub struct Wire {
    socket: UnixStream,
    /// Looking again and again takes the only processor from the side that is to answer.
    eager: bool,
}

impl Wire {
    pub fn new(socket: UnixStream) -> Self {
        let eager = std::thread::available_parallelism().is_ok_and(|processors| processors.get() > 1);
        Wire { socket, eager }
    }

    pub fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// # Errors
    /// `FileTooLarge` where the frame would be longer than [`FRAME_MAX`]: nothing was sent.
    pub fn send<T: Serialize>(&self, frame: &T, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        let mut bytes = vec![0; 4];
        serde_json::to_writer(&mut bytes, frame)?;
        let length = bytes.len() - 4;
        if length > FRAME_MAX {
            return Err(Error::new(ErrorKind::FileTooLarge, format!("a frame of {length} bytes is too long")));
        }
        bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
        let sent = message::send(&self.socket, &bytes, descriptors)?;
        (&self.socket).write_all(&bytes[sent..])
    }

    /// The next frame; none where the other side closed the socket between frames.
    ///
    /// # Errors
    /// `InvalidData` for a frame that is too long or does not parse; `UnexpectedEof` for one that breaks off.
    pub fn receive<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let mut length = [0; 4];
        self.look();
        match (&self.socket).read(&mut length)? {
            0 => Ok(None),
            got => {
                (&self.socket).read_exact(&mut length[got..])?;
                self.body(length, None).map(Some)
            }
        }
    }

    /// As [`Wire::receive`], for a side that does not trust the other: the whole frame has come by `deadline`.
    ///
    /// # Errors
    /// `TimedOut` besides.
    pub fn receive_by<T: DeserializeOwned>(&self, deadline: Instant) -> Result<Option<T>> {
        let mut length = [0; 4];
        self.look();
        let frame = match self.read_by(&mut length, deadline)? {
            0 => Ok(None),
            got => {
                self.fill(&mut length[got..], Some(deadline))?;
                self.body(length, Some(deadline)).map(Some)
            }
        };
        // The next one is waited for by its own rules.
        self.socket.set_read_timeout(None)?;
        frame
    }

    /// Looks for a frame for [`EAGER`], without taking anything of it.
    fn look(&self) {
        let until = Instant::now() + EAGER;
        let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        while self.eager
            && rustix::net::recv(&self.socket, &mut [0; 1], flags) == Err(Errno::AGAIN)
            && Instant::now() < until
        {
            std::hint::spin_loop();
        }
    }

    /// As [`Wire::receive`], with the descriptors that came beside the frame's first bytes.
    pub fn receive_with_descriptors<T: DeserializeOwned>(&self) -> Result<Option<(T, Vec<OwnedFd>)>> {
        let mut length = [0; 4];
        let (got, descriptors) = message::receive(&self.socket, &mut length)?;
        if got == 0 {
            return Ok(None);
        }
        (&self.socket).read_exact(&mut length[got..])?;
        Ok(Some((self.body(length, None)?, descriptors)))
    }

    fn body<T: DeserializeOwned>(&self, length: [u8; 4], deadline: Option<Instant>) -> Result<T> {
        let length = u32::from_le_bytes(length) as usize;
        if length > FRAME_MAX {
            return Err(Error::new(ErrorKind::InvalidData, format!("a frame of {length} bytes is too long")));
        }
        let mut bytes = vec![0; length];
        self.fill(&mut bytes, deadline)?;
        serde_json::from_slice(&bytes).map_err(|error| Error::new(ErrorKind::InvalidData, error))
    }

    fn fill(&self, mut bytes: &mut [u8], deadline: Option<Instant>) -> Result<()> {
        let Some(deadline) = deadline else {
            return (&self.socket).read_exact(bytes);
        };
        while !bytes.is_empty() {
            match self.read_by(bytes, deadline)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                got => bytes = &mut bytes[got..],
            }
        }
        Ok(())
    }

    fn read_by(&self, bytes: &mut [u8], deadline: Instant) -> Result<usize> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.socket.set_read_timeout(Some(left))?;
            match (&self.socket).read(bytes) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn pair() -> (Wire, Wire) {
        let (here, there) = UnixStream::pair().unwrap();
        (Wire::new(here), Wire::new(there))
    }

    #[test]
    fn frames_arrive_one_by_one() {
        let (here, there) = pair();
        here.send(&"one", &[]).unwrap();
        here.send(&"two", &[]).unwrap();
        drop(here);
        assert_eq!(there.receive::<String>().unwrap().unwrap(), "one");
        assert_eq!(there.receive::<String>().unwrap().unwrap(), "two");
        assert!(there.receive::<String>().unwrap().is_none());
    }

    #[test]
    fn a_frame_that_claims_four_gigabytes_is_refused_before_memory_is_taken() {
        let (here, there) = pair();
        here.socket().write_all(&u32::MAX.to_le_bytes()).unwrap();
        assert_eq!(there.receive::<String>().unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_torn_or_senseless_frame_is_an_error() {
        let (here, there) = pair();
        here.socket().write_all(&[9, 0, 0, 0, b'"', b'x']).unwrap();
        drop(here);
        assert_eq!(there.receive::<String>().unwrap_err().kind(), ErrorKind::UnexpectedEof);
        let (here, there) = pair();
        here.socket().write_all(&[2, 0, 0, 0, b'{', b'x']).unwrap();
        assert_eq!(there.receive::<String>().unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_frame_that_is_too_long_is_not_begun() {
        let (here, there) = pair();
        assert_eq!(here.send(&"x".repeat(FRAME_MAX), &[]).unwrap_err().kind(), ErrorKind::FileTooLarge);
        here.send(&"next", &[]).unwrap();
        assert_eq!(there.receive::<String>().unwrap().unwrap(), "next");
    }

    #[test]
    fn the_deadline_of_one_frame_is_not_that_of_the_next() {
        let (here, there) = pair();
        here.send(&"one", &[]).unwrap();
        let soon = Instant::now() + std::time::Duration::from_millis(200);
        assert_eq!(there.receive_by::<String>(soon).unwrap().unwrap(), "one");
        let late = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(400));
            here.send(&"two", &[]).unwrap();
        });
        assert_eq!(there.receive::<String>().unwrap().unwrap(), "two");
        late.join().unwrap();
    }

    #[test]
    fn a_side_that_sends_a_byte_now_and_then_meets_the_deadline() {
        let (here, there) = pair();
        let dripping = std::thread::spawn(move || {
            here.socket().write_all(&[200, 0, 0, 0]).unwrap();
            while here.socket().write_all(b" ").is_ok() {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        let deadline = Instant::now() + std::time::Duration::from_millis(60);
        assert_eq!(there.receive_by::<String>(deadline).unwrap_err().kind(), ErrorKind::TimedOut);
        drop(there);
        dripping.join().unwrap();
    }

    #[test]
    fn descriptors_ride_on_their_frame() {
        let (here, there) = pair();
        let file = tempfile::tempfile().unwrap();
        here.send(&"take this", &[file.as_fd(), file.as_fd()]).unwrap();
        let (text, descriptors) = there.receive_with_descriptors::<String>().unwrap().unwrap();
        assert_eq!((text.as_str(), descriptors.len()), ("take this", 2));
    }
}
