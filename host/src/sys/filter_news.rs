//! What the kernel tells of changes to its packet filters (netlink(7), `NFNLGRP_NFTABLES`), whoever makes them.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use tokio::io::unix::AsyncFd;

/// linux/netfilter/nfnetlink.h: the group is the seventh, as a mask.
const GROUP: u32 = 1 << (7 - 1);
/// The kernel sends what one transaction did in pieces of a page or two.
const BUFFER: usize = 32 << 10;
/// `nlmsghdr` (linux/netlink.h) and `nfgenmsg` (linux/netfilter/nfnetlink.h), in bytes.
const HEADER: usize = 16;
const FAMILY_HEADER: usize = 4;
/// `NFT_MSG_DELTABLE`, `NFT_MSG_DELCHAIN` and `NFT_MSG_DELRULE` of subsystem 10 (linux/netfilter/nf_tables.h).
const TAKEN: [u16; 3] = [10 << 8 | 2, 10 << 8 | 5, 10 << 8 | 8];
/// The attribute that names the table in each of them.
const TABLE: u16 = 1;

/// A socket on which each change in this thread's network namespace is told.
#[derive(Debug)]
pub struct FilterNews(AsyncFd<OwnedFd>);

/// Tables that lost something.
#[derive(Debug, PartialEq, Eq)]
pub enum Lost {
    /// These.
    From(BTreeSet<String>),
    /// More was told than there was room for: any.
    Unknown,
}

impl FilterNews {
    /// To be called in a runtime of tokio's.
    ///
    /// # Errors
    /// `PermissionDenied` without CAP_NET_ADMIN.
    pub fn listen() -> io::Result<FilterNews> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(NETFILTER))?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, GROUP))?;
        // SAFETY: the descriptor is owned by the `AsyncFd` from here on, and an `OwnedFd` always gives the same one.
        #[allow(unsafe_code)]
        let socket = unsafe { AsyncFd::register(socket)? };
        Ok(FilterNews(socket))
    }

    /// Waits for a change; may be dropped and called again.
    pub async fn next(&self) -> io::Result<Lost> {
        let mut guard = self.0.readable().await?;
        let lost = read(self.0.get_ref().as_fd())?;
        guard.clear_ready();
        Ok(lost)
    }
}

/// All that was told until now.
fn read(socket: BorrowedFd<'_>) -> io::Result<Lost> {
    let mut buffer = vec![0; BUFFER];
    let mut tables = BTreeSet::new();
    loop {
        match rustix::net::recv(socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((length, _)) => tables.extend(taken_from(&buffer[..length])),
            Err(Errno::AGAIN) => return Ok(Lost::From(tables)),
            Err(Errno::NOBUFS) => return Ok(Lost::Unknown),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The tables that these messages take a rule, a chain or themselves from.
fn taken_from(mut messages: &[u8]) -> BTreeSet<String> {
    let mut tables = BTreeSet::new();
    while let Some(length) = messages.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes) as usize) {
        if length < HEADER || length > messages.len() {
            break;
        }
        let kind = u16::from_ne_bytes([messages[4], messages[5]]);
        if TAKEN.contains(&kind) {
            let attributes = messages[..length].get(HEADER + FAMILY_HEADER..).unwrap_or_default();
            tables.extend(text(attributes, TABLE));
        }
        messages = messages.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    tables
}

/// The first attribute of this kind, as text.
fn text(mut attributes: &[u8], wanted: u16) -> Option<String> {
    while let Some(&[a, b, c, d]) = attributes.first_chunk() {
        let (length, kind) = (usize::from(u16::from_ne_bytes([a, b])), u16::from_ne_bytes([c, d]));
        let value = attributes.get(4..length)?;
        if kind == wanted {
            return String::from_utf8(value.strip_suffix(&[0]).unwrap_or(value).to_vec()).ok();
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::netns::within;

    fn nft(words: &str) {
        assert!(std::process::Command::new("nft").arg(words).status().unwrap().success(), "{words}");
    }

    fn lost(news: &FilterNews) -> Vec<String> {
        match read(news.0.as_fd()).unwrap() {
            Lost::From(tables) => tables.into_iter().collect(),
            Lost::Unknown => panic!("a few changes are too many"),
        }
    }

    #[test]
    fn what_is_taken_from_a_table_is_told_and_what_is_added_is_not() {
        within(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let _inside = runtime.enter();
            let news = FilterNews::listen().unwrap();
            nft("add table inet a; add chain inet a c; add rule inet a c accept; add table bridge b");
            assert_eq!(lost(&news), Vec::<String>::new());
            nft("flush table inet a");
            assert_eq!(lost(&news), ["a"]);
            nft("flush ruleset");
            assert_eq!(lost(&news), ["a", "b"]);
            assert_eq!(lost(&news), Vec::<String>::new());
        });
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), length: u8) {
            let mut message = [&u32::from(length).to_ne_bytes()[..], &TAKEN[0].to_ne_bytes(), &[0; 10]].concat();
            message.extend(bytes);
            taken_from(&message);
        }
    }
}
