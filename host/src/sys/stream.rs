//! TCP streams that notice a server that is gone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// Silence after which the other side is asked whether it is there, how often it is asked, and how often in vain.
const KEEP_ALIVE: (Duration, Duration, u32) = (Duration::from_secs(10), Duration::from_secs(5), 4);
/// What was sent and is not acknowledged for this long ends the connection (TCP_USER_TIMEOUT, tcp(7)), in milliseconds.
const UNANSWERED: u32 = 30_000;
/// Source ports that servers take for a word of root's; the kernel's own NFS client takes the same
/// (Documentation/admin-guide/nfs, sunrpc.min_resvport): those below are services'.
const RESERVED: std::ops::RangeInclusive<u16> = 665..=1023;

/// For whom a stream is kept an eye on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// Words go to and fro: what is not acknowledged within half a minute will not be.
    Words,
    /// Bytes for a reader that may stand still for longer than that, and is there. Somebody else sees whether it is.
    Bytes,
}

/// Sets a stream up so that a silent other side is noticed, and that nothing waits to be sent.
pub fn watch_over(socket: &impl std::os::fd::AsFd, watch: Watch) -> io::Result<()> {
    sockopt::set_tcp_nodelay(socket, true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEP_ALIVE.0)?;
    sockopt::set_tcp_keepintvl(socket, KEEP_ALIVE.1)?;
    sockopt::set_tcp_keepcnt(socket, KEEP_ALIVE.2)?;
    match watch {
        Watch::Words => sockopt::set_tcp_user_timeout(socket, UNANSWERED)?,
        Watch::Bytes => {}
    }
    Ok(())
}

/// A connected stream, which does not block.
///
/// # Errors
/// `TimedOut` at the end of `within`; `AddrInUse` where no reserved port is free; else what the system says.
pub fn connect(address: SocketAddr, within: Duration, reserved: bool) -> io::Result<OwnedFd> {
    let until = Instant::now() + within;
    if !reserved {
        return begin(address, None, until);
    }
    // At a random place, so that two streams in a row do not ask for the port that is in TIME_WAIT.
    let count = RESERVED.end() - RESERVED.start() + 1;
    let mut random = [0; 2];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let start = u16::from_ne_bytes(random) % count;
    for step in 0..count {
        let port = RESERVED.start() + (start + step) % count;
        match begin(address, Some(port), until) {
            Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable) => {}
            other => return other,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn begin(address: SocketAddr, port: Option<u16>, until: Instant) -> io::Result<OwnedFd> {
    let (family, any): (_, IpAddr) = match address {
        SocketAddr::V4(_) => (AddressFamily::INET, Ipv4Addr::UNSPECIFIED.into()),
        SocketAddr::V6(_) => (AddressFamily::INET6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    watch_over(&socket, Watch::Words)?;
    if let Some(port) = port {
        rustix::net::bind(&socket, &SocketAddr::new(any, port))?;
    }
    match rustix::net::connect(&socket, &address) {
        Ok(()) => return Ok(socket),
        Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().min(3600) as i64, tv_nsec: left.subsec_nanos().into() };
        match rustix::event::poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&timeout)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    sockopt::socket_error(&socket)??;
    Ok(socket)
}

/// Whether one of this host's links has the address: what is sent there would come from there too. Nothing is sent.
pub fn is_own(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        // Any port: a datagram socket only looks up the way (udp(7)).
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == address)
}

/// Whether all that was sent over a unix stream has been read (SIOCOUTQ, unix(7): its number is that of TIOCOUTQ).
pub fn is_read(socket: &impl std::os::fd::AsFd) -> rustix::io::Result<bool> {
    // SAFETY: of a socket it gives one int, and takes nothing.
    #[allow(unsafe_code)]
    let unread = unsafe {
        rustix::ioctl::ioctl(
            socket,
            rustix::ioctl::Getter::<{ libc::TIOCOUTQ as rustix::ioctl::Opcode }, libc::c_int>::new(),
        )
    }?;
    Ok(unread == 0)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::sys::netns::{ip, within};

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_stream_has_a_reserved_port_where_that_is_asked_for() {
        within(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let mut ports = Vec::new();
            let streams: Vec<OwnedFd> = (0..3).map(|_| connect(address, LONG, true).unwrap()).collect();
            for _ in &streams {
                ports.push(listener.accept().unwrap().1.port());
            }
            assert!(ports.iter().all(|port| RESERVED.contains(port)), "{ports:?}");
            let plain = connect(address, LONG, false).unwrap();
            assert!(listener.accept().unwrap().1.port() > 1023);
            assert!(sockopt::tcp_nodelay(&plain).unwrap() && sockopt::socket_keepalive(&plain).unwrap());
            assert_eq!(sockopt::tcp_user_timeout(&plain).unwrap(), UNANSWERED);
            assert!(TcpStream::from(plain).peer_addr().is_ok());
        });
    }

    #[test]
    fn a_closed_port_refuses_and_a_silent_host_ends_at_the_deadline() {
        within(|| {
            let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            assert_eq!(connect(closed, LONG, false).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
            // Nobody answers for that address on this link.
            ip("link add a0 type veth peer name b0");
            ip("address add 10.99.0.1/24 dev a0");
            ip("link set a0 up");
            ip("link set b0 up");
            let silent = SocketAddr::from(([10, 99, 0, 2], 80));
            let begun = Instant::now();
            assert_eq!(connect(silent, Duration::from_millis(300), false).unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert!(begun.elapsed() < LONG);
            assert!(is_own([10, 99, 0, 1].into()) && !is_own([10, 99, 0, 2].into()) && is_own([127, 0, 0, 1].into()));
            assert!(!is_own([192, 0, 2, 1].into()), "there is no way there");
        });
    }
}
