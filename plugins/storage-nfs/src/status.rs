//! What a server says of a call. The numbers of v3 (RFC 1813, 2.6) and v4 (RFC 8881, 15.1) agree where they overlap.

use fief_sdk::{Error, Retry};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u32);

impl Status {
    pub const PERM: Status = Status(1);
    pub const NOENT: Status = Status(2);
    pub const ACCESS: Status = Status(13);
    pub const EXIST: Status = Status(17);
    pub const FBIG: Status = Status(27);
    pub const NOSPC: Status = Status(28);
    pub const ROFS: Status = Status(30);
    pub const NOTEMPTY: Status = Status(66);
    pub const DQUOT: Status = Status(69);
    pub const STALE: Status = Status(70);
    pub const BADHANDLE: Status = Status(10001);
    pub const BAD_COOKIE: Status = Status(10003);
    pub const NOTSUPP: Status = Status(10004);
    /// `NFS3ERR_JUKEBOX` and `NFS4ERR_DELAY`: later.
    pub const DELAY: Status = Status(10008);
    pub const DENIED: Status = Status(10010);
    pub const EXPIRED: Status = Status(10011);
    pub const LOCKED: Status = Status(10012);
    pub const GRACE: Status = Status(10013);
    pub const FHEXPIRED: Status = Status(10014);
    pub const SHARE_DENIED: Status = Status(10015);
    pub const WRONGSEC: Status = Status(10016);
    pub const MINOR_VERS_MISMATCH: Status = Status(10021);
    pub const STALE_CLIENTID: Status = Status(10022);
    pub const STALE_STATEID: Status = Status(10023);
    pub const BAD_STATEID: Status = Status(10025);
    pub const NOT_SAME: Status = Status(10027);
    pub const NO_GRACE: Status = Status(10033);
    pub const RECLAIM_BAD: Status = Status(10034);
    pub const RECLAIM_CONFLICT: Status = Status(10035);
    pub const OP_ILLEGAL: Status = Status(10044);
    pub const ADMIN_REVOKED: Status = Status(10047);
    pub const BADSESSION: Status = Status(10052);
    pub const BADSLOT: Status = Status(10053);
    pub const COMPLETE_ALREADY: Status = Status(10054);
    pub const CONN_NOT_BOUND: Status = Status(10055);
    pub const SEQ_MISORDERED: Status = Status(10063);
    pub const RETRY_UNCACHED_REP: Status = Status(10068);
    pub const SEQ_FALSE_RETRY: Status = Status(10076);
    pub const DEADSESSION: Status = Status(10078);
    pub const DELEG_REVOKED: Status = Status(10087);
    pub const PARTNER_NOTSUPP: Status = Status(10088);
    pub const UNION_NOTSUPP: Status = Status(10090);
    pub const OFFLOAD_NO_REQS: Status = Status(10094);

    /// The server is fine and asks to come again (RFC 8881, 8.4.2.1 for the grace period after its restart).
    pub fn is_later(self) -> bool {
        matches!(self, Status::DELAY | Status::GRACE)
    }

    /// The session is no more, as after a restart of the server (RFC 8881, 2.10.13.1), or the two sides count differently.
    pub fn ends_the_session(self) -> bool {
        matches!(
            self,
            Status::BADSESSION
                | Status::DEADSESSION
                | Status::BADSLOT
                | Status::CONN_NOT_BOUND
                | Status::SEQ_MISORDERED
                | Status::SEQ_FALSE_RETRY
                | Status::STALE_CLIENTID
        )
    }

    /// What was open is not any more: the lease ran out, or it was taken away (RFC 8881, 8.5).
    pub fn lost_the_file(self) -> bool {
        matches!(
            self,
            Status::EXPIRED
                | Status::BAD_STATEID
                | Status::STALE_STATEID
                | Status::ADMIN_REVOKED
                | Status::DELEG_REVOKED
        )
    }

    /// The server, or the file system behind it, does not do that.
    pub fn is_unsupported(self) -> bool {
        matches!(
            self,
            Status::NOTSUPP
                | Status::OP_ILLEGAL
                | Status::UNION_NOTSUPP
                | Status::PARTNER_NOTSUPP
                | Status::OFFLOAD_NO_REQS
        )
    }

    /// For whoever asked; `doing` says what.
    pub fn error(self, doing: impl std::fmt::Display) -> Error {
        match self {
            Status::PERM | Status::ACCESS | Status::WRONGSEC => Error::denied(format!(
                "{doing}: the server does not permit it to this user (see uid and gid of the pool, and the export's options)"
            )),
            Status::ROFS => Error::denied(format!("{doing}: the server exports it read-only")),
            Status::NOENT => Error::not_found(format!("{doing}: the server has no such file")),
            Status::EXIST => Error::already_exists(format!("{doing}: there is one already")),
            Status::NOSPC => Error::exhausted(format!("{doing}: the server has no room left")),
            Status::DQUOT => Error::exhausted(format!("{doing}: the quota on the server is used up")),
            Status::FBIG => Error::invalid(format!("{doing}: larger than a file on the server can be")),
            Status::STALE | Status::BADHANDLE | Status::FHEXPIRED => {
                Error::io(format!("{doing}: the server no longer has this file or export"))
            }
            Status::SHARE_DENIED | Status::LOCKED | Status::DENIED => {
                Error::in_use("another client of the server", format!("{doing}: another client has it open"))
            }
            Status::DELAY | Status::GRACE => {
                Error::unreachable(format!("{doing}: the server is busy after its start; try again soon"))
                    .retry(Retry::AfterMs(2_000))
            }
            other if other.is_unsupported() => Error::unsupported(format!("{doing}: the server cannot do that")),
            other if other.lost_the_file() => Error::io(format!("{doing}: the server took away what was open")),
            Status(number) => Error::io(format!("{doing}: the server says error {number}")),
        }
    }
}
