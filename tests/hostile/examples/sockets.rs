//! Wants the network: connects to the service that clouds keep their secrets behind, and listens.

use std::net::{TcpListener, TcpStream, UdpSocket};

use fief_sdk::Error;

hostile::list!("hostile-sockets", all);

fn all(_: &HostilePool) -> fief_sdk::Result<Vec<fief_sdk::storage::Volume>> {
    let reached = TcpStream::connect("169.254.169.254:80").is_ok()
        || TcpStream::connect("127.0.0.1:22").is_ok()
        || TcpListener::bind("0.0.0.0:0").is_ok()
        || UdpSocket::bind("0.0.0.0:0").is_ok_and(|socket| socket.send_to(b"flood", "255.255.255.255:9").is_ok());
    match reached {
        true => Ok(Vec::new()),
        false => Err(Error::denied("no network")),
    }
}
