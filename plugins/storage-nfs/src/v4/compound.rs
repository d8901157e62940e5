//! A COMPOUND and its operations (RFC 8881, 16.2 and 18; RFC 7862, 15), as they go out.

use super::attributes::{PRIVATE, PRIVATE_FOLDER, bitmap, settable};
use crate::rpc::{self, Identity, NFS_PROGRAM, Procedure};
use crate::types::{Handle, Stable, Verifier};
use crate::xdr::Encoder;

const COMPOUND: Procedure = Procedure { program: NFS_PROGRAM, version: 4, number: 1 };

/// Numbers of operations (RFC 8881, 16.2.3; RFC 7862, 15).
pub mod op {
    pub const CLOSE: u32 = 4;
    pub const COMMIT: u32 = 5;
    pub const CREATE: u32 = 6;
    pub const GETATTR: u32 = 9;
    pub const GETFH: u32 = 10;
    pub const LINK: u32 = 11;
    pub const LOCK: u32 = 12;
    pub const LOCKU: u32 = 14;
    pub const LOOKUP: u32 = 15;
    pub const OPEN: u32 = 18;
    pub const PUTFH: u32 = 22;
    pub const PUTROOTFH: u32 = 24;
    pub const READ: u32 = 25;
    pub const READDIR: u32 = 26;
    pub const REMOVE: u32 = 28;
    pub const RENAME: u32 = 29;
    pub const SAVEFH: u32 = 32;
    pub const SETATTR: u32 = 34;
    pub const WRITE: u32 = 38;
    pub const BIND_CONN_TO_SESSION: u32 = 41;
    pub const EXCHANGE_ID: u32 = 42;
    pub const CREATE_SESSION: u32 = 43;
    pub const DESTROY_SESSION: u32 = 44;
    pub const SEQUENCE: u32 = 53;
    pub const DESTROY_CLIENTID: u32 = 57;
    pub const RECLAIM_COMPLETE: u32 = 58;
    pub const ALLOCATE: u32 = 59;
    pub const COPY: u32 = 60;
    pub const DEALLOCATE: u32 = 62;
    pub const SEEK: u32 = 69;
    pub const CLONE: u32 = 71;
}

/// What an open file, or a lock on it, is to the server (RFC 8881, 8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateId {
    pub sequence: u32,
    pub other: [u8; 12],
}

impl StateId {
    /// Without having opened it (RFC 8881, 8.2.3).
    pub const ANONYMOUS: StateId = StateId { sequence: 0, other: [0; 12] };
}

pub type SessionId = [u8; 16];

/// How a client is known to the server; it stays the same over a restart of ours or the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub name: String,
    /// Another one means that we have restarted, and hold nothing any more.
    pub verifier: Verifier,
}

/// How much one session carries (RFC 8881, 18.36.1), bytes of one request and answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    pub request: u32,
    pub response: u32,
    pub operations: u32,
    pub slots: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim<'a> {
    /// By its name in the current folder.
    Name(&'a str),
    /// The current file.
    File,
    /// The current file, open already before the server's restart.
    Previous,
}

pub struct Compound {
    encoder: Encoder,
    count_at: usize,
    count: u32,
}

impl Compound {
    /// `room`: bytes that it will about take, for its data.
    pub fn start(xid: u32, identity: Identity, minor: u32, room: usize) -> Self {
        let mut encoder = rpc::call(xid, COMPOUND, identity, room + 256);
        encoder.opaque(&[]); // tag
        encoder.u32(minor);
        let count_at = encoder.len();
        encoder.u32(0);
        Compound { encoder, count_at, count: 0 }
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.encoder.set_u32(self.count_at, self.count);
        rpc::finish(self.encoder)
    }

    fn op(&mut self, number: u32) -> &mut Encoder {
        self.count += 1;
        self.encoder.u32(number);
        &mut self.encoder
    }

    fn state(&mut self, number: u32, state: StateId) -> &mut Encoder {
        let into = self.op(number);
        stateid(into, state);
        into
    }

    fn named(&mut self, number: u32, name: &str) {
        self.op(number).opaque(name.as_bytes());
    }

    pub fn put(&mut self, file: &Handle) {
        file.encode(self.op(op::PUTFH));
    }

    pub fn put_root(&mut self) {
        self.op(op::PUTROOTFH);
    }

    /// The current file becomes the saved one, too: the source of what follows.
    pub fn save(&mut self) {
        self.op(op::SAVEFH);
    }

    pub fn handle(&mut self) {
        self.op(op::GETFH);
    }

    pub fn lookup(&mut self, name: &str) {
        self.named(op::LOOKUP, name);
    }

    /// A new folder; refused where there is such a name.
    pub fn create_folder(&mut self, name: &str) {
        let into = self.op(op::CREATE);
        into.u32(2); // NF4DIR
        into.opaque(name.as_bytes());
        settable(into, Some(PRIVATE_FOLDER), None);
    }

    pub fn remove(&mut self, name: &str) {
        self.named(op::REMOVE, name);
    }

    /// From the saved folder to the current one.
    pub fn rename(&mut self, from: &str, to: &str) {
        let into = self.op(op::RENAME);
        into.opaque(from.as_bytes());
        into.opaque(to.as_bytes());
    }

    /// The saved file under one more name in the current folder.
    pub fn link(&mut self, name: &str) {
        self.named(op::LINK, name);
    }

    pub fn attributes(&mut self, wanted: &[u32]) {
        bitmap(self.op(op::GETATTR), wanted);
    }

    pub fn set_size(&mut self, state: StateId, size: u64) {
        settable(self.state(op::SETATTR, state), None, Some(size));
    }

    /// `bytes` bounds the answer.
    pub fn list(&mut self, cookie: u64, verifier: Verifier, bytes: u32, wanted: &[u32]) {
        let into = self.op(op::READDIR);
        into.u64(cookie);
        into.fixed(&verifier);
        into.u32(bytes / 4);
        into.u32(bytes);
        bitmap(into, wanted);
    }

    pub fn read(&mut self, state: StateId, offset: u64, length: u32) {
        let into = self.state(op::READ, state);
        into.u64(offset);
        into.u32(length);
    }

    pub fn write(&mut self, state: StateId, offset: u64, data: &[u8], stable: Stable) {
        let into = self.state(op::WRITE, state);
        into.u64(offset);
        stable.encode(into);
        into.opaque(data);
    }

    /// All of the file (RFC 8881, 18.3.3: a count of 0).
    pub fn commit(&mut self) {
        let into = self.op(op::COMMIT);
        into.u64(0);
        into.u32(0);
    }

    /// For reading, and writing where asked, denying nothing, wanting no delegation. With `create` the name must be new
    /// (`GUARDED4`).
    pub fn open(&mut self, client: u64, owner: &[u8], write: bool, create: bool, claim: Claim<'_>) {
        const WANT_NO_DELEGATION: u32 = 0x400;
        let into = self.op(op::OPEN);
        into.u32(0); // without use in 4.1
        into.u32(WANT_NO_DELEGATION | if write { 3 } else { 1 });
        into.u32(0);
        into.u64(client);
        into.opaque(owner);
        into.boolean(create);
        if create {
            into.u32(1);
            settable(into, Some(PRIVATE), None);
        }
        match claim {
            Claim::Name(name) => {
                into.u32(0);
                into.opaque(name.as_bytes());
            }
            Claim::Previous => {
                into.u32(1);
                into.u32(0); // no delegation
            }
            Claim::File => into.u32(4),
        }
    }

    pub fn close(&mut self, state: StateId) {
        self.op(op::CLOSE).u32(0);
        stateid(&mut self.encoder, state);
    }

    /// All of the file, for writing. `open` is the state of the open file.
    pub fn lock(&mut self, open: StateId, client: u64, owner: &[u8], reclaim: bool) {
        let into = self.op(op::LOCK);
        into.u32(2); // WRITE_LT
        into.boolean(reclaim);
        into.u64(0);
        into.u64(u64::MAX);
        into.boolean(true); // a new owner of locks
        into.u32(0);
        stateid(into, open);
        into.u32(0);
        into.u64(client);
        into.opaque(owner);
    }

    pub fn unlock(&mut self, lock: StateId) {
        let into = self.op(op::LOCKU);
        into.u32(2);
        into.u32(0);
        stateid(into, lock);
        into.u64(0);
        into.u64(u64::MAX);
    }

    pub fn allocate(&mut self, state: StateId, offset: u64, length: u64) {
        let into = self.state(op::ALLOCATE, state);
        into.u64(offset);
        into.u64(length);
    }

    pub fn deallocate(&mut self, state: StateId, offset: u64, length: u64) {
        let into = self.state(op::DEALLOCATE, state);
        into.u64(offset);
        into.u64(length);
    }

    pub fn seek(&mut self, state: StateId, offset: u64, hole: bool) {
        let into = self.state(op::SEEK, state);
        into.u64(offset);
        into.u32(hole.into());
    }

    /// All of the saved file into the current one, at once (RFC 7862, 15.2: consecutive and synchronous, this server).
    pub fn copy(&mut self, from: StateId, to: StateId, offset: u64, length: u64) {
        let into = self.state(op::COPY, from);
        stateid(into, to);
        into.u64(offset);
        into.u64(offset);
        into.u64(length);
        into.boolean(true);
        into.boolean(true);
        into.u32(0);
    }

    /// The same by sharing blocks (RFC 7862, 15.13).
    pub fn clone_range(&mut self, from: StateId, to: StateId, length: u64) {
        let into = self.state(op::CLONE, from);
        stateid(into, to);
        into.u64(0);
        into.u64(0);
        into.u64(length);
    }

    pub fn exchange_id(&mut self, owner: &Owner) {
        let into = self.op(op::EXCHANGE_ID);
        into.fixed(&owner.verifier);
        into.opaque(owner.name.as_bytes());
        into.u32(0); // flags
        into.u32(0); // SP4_NONE
        into.u32(0); // nothing to say about who made this client
    }

    pub fn create_session(&mut self, client: u64, sequence: u32, fore: Channel) {
        let into = self.op(op::CREATE_SESSION);
        into.u64(client);
        into.u32(sequence);
        into.u32(0); // neither persistent nor with a back channel
        // Nothing is called back: the smallest that servers take.
        let back = Channel { request: 4096, response: 4096, operations: 2, slots: 1 };
        for channel in [fore, back] {
            into.u32(0); // padding
            into.u32(channel.request);
            into.u32(channel.response);
            into.u32(MOST_CACHED.min(channel.response));
            into.u32(channel.operations);
            into.u32(channel.slots);
            into.u32(0); // no RDMA
        }
        into.u32(0x4000_0000); // the program that would be called back
        into.u32(1);
        into.u32(0); // AUTH_NONE
    }

    pub fn sequence(&mut self, session: &SessionId, sequence: u32, slot: u32, highest: u32, cache: bool) {
        let into = self.op(op::SEQUENCE);
        into.fixed(session);
        into.u32(sequence);
        into.u32(slot);
        into.u32(highest);
        into.boolean(cache);
    }

    /// This connection carries the session's requests (`CDFC4_FORE`).
    pub fn bind(&mut self, session: &SessionId) {
        let into = self.op(op::BIND_CONN_TO_SESSION);
        into.fixed(session);
        into.u32(1);
        into.boolean(false);
    }

    pub fn reclaim_complete(&mut self) {
        self.op(op::RECLAIM_COMPLETE).boolean(false);
    }

    pub fn destroy_session(&mut self, session: &SessionId) {
        self.op(op::DESTROY_SESSION).fixed(session);
    }

    pub fn destroy_client(&mut self, client: u64) {
        self.op(op::DESTROY_CLIENTID).u64(client);
    }
}

/// Answers that must be the same when asked for again are small.
const MOST_CACHED: u32 = 4096;

fn stateid(into: &mut Encoder, state: StateId) {
    into.u32(state.sequence);
    into.fixed(&state.other);
}
