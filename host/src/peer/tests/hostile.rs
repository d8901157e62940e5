//! What comes from outside and is not as it should be: each is refused within its time, costs a line of the log at most, and
//! keeps nobody else out.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use fief_wire::frame::{self, FRAME_MAX, HELLO_MAX};
use fief_wire::hello::{Hello, Purpose, Welcome};
use fief_wire::message::{Answer, Ask};

use super::*;
use crate::peer::tls::{self, Whose};
use crate::sys::netns::within;
use crate::sys::stream::Watch;

/// For a stranger to become a peer, here.
const PATIENCE: Duration = Duration::from_secs(2);

type Tls = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

/// What somebody without a certificate sends, again and again until nobody takes it, or once.
enum Stranger {
    Once(Vec<u8>),
    Endless(Vec<u8>),
    /// A byte now and then.
    Drip(Vec<u8>),
    /// The beginning of TLS with this certificate.
    Certificate(Box<Identity>, &'static [u8]),
}

/// A real first message of TLS.
fn client_hello(identity: &Identity) -> Vec<u8> {
    let config = tls::client(identity, Whose::Anyone, tls::PEER).unwrap();
    let mut session = rustls::ClientConnection::new(config, tls::nobody()).unwrap();
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).unwrap();
    bytes
}

/// From an address of its own, so that none of them is one too many from one.
fn connect(to: &str, from: u8) -> TcpStream {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 1, from], 0))).unwrap();
    rustix::net::connect(&socket, &to.parse::<SocketAddr>().unwrap()).unwrap();
    socket.into()
}

fn ends(address: &str, from: u8, stranger: &Stranger) -> Duration {
    let begun = Instant::now();
    let mut stream = connect(address, from);
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    let mut bin = [0; 4096];
    match stranger {
        Stranger::Once(bytes) => drop(stream.write_all(bytes)),
        Stranger::Endless(bytes) => while stream.write_all(bytes).is_ok() {},
        Stranger::Drip(bytes) => {
            for byte in bytes.iter().cycle() {
                if stream.write_all(&[*byte]).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Stranger::Certificate(identity, protocol) => {
            let config = tls::client(identity, Whose::Anyone, protocol).unwrap();
            let session = rustls::ClientConnection::new(config, tls::nobody()).unwrap();
            let mut tls = rustls::StreamOwned::new(session, stream);
            // In TLS 1.3 the client has its say before it hears that nobody knows it.
            let _ = tls.write_all(b"\0\0\0\x02{}").and_then(|()| tls.read(&mut bin).map(drop));
            return begun.elapsed();
        }
    }
    // An alert, an end or a reset: but no more than that.
    let mut heard = 0;
    while let Ok(count) = stream.read(&mut bin) {
        heard += count;
        if count == 0 {
            break;
        }
    }
    assert!(heard < 4096, "a stranger is told {heard} bytes");
    begun.elapsed()
}

#[test]
fn strangers_are_refused_in_their_time_and_keep_nobody_out() {
    within(|| {
        let (a, b) = (Host::new("127.0.0.1", ""), Host::new("127.0.0.2", ""));
        let _at_a = a.listen(PATIENCE);
        a.pairs_with(&b, "b", "a");
        let other = Identity::of_years(2000, 3000);
        let mut cut = client_hello(&other);
        cut.truncate(cut.len() / 2);
        let mut endless = vec![22, 3, 1, 0x40, 0];
        endless.resize(5 + 0x4000, 0);
        let strangers = [
            ("nothing at all", Stranger::Once(Vec::new())),
            ("another protocol", Stranger::Once(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec())),
            ("an older hello of ours, without TLS", Stranger::Once(b"\0\0\0\x02{}".to_vec())),
            ("junk without end", Stranger::Endless(vec![0xa5; 64 << 10])),
            ("zeroes without end", Stranger::Endless(vec![0; 64 << 10])),
            ("records that are no handshake", Stranger::Endless(endless)),
            ("half a hello", Stranger::Once(cut.clone())),
            ("half a hello, and then another", Stranger::Endless(cut)),
            ("a hello byte by byte", Stranger::Drip(client_hello(&other))),
            ("a length byte by byte", Stranger::Drip(vec![22, 3, 1, 0x40, 0, 1, 0, 0, 0])),
            ("SSL 2", Stranger::Once(vec![0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10])),
            ("a TLS alert", Stranger::Once(vec![21, 3, 3, 0, 2, 2, 40])),
            ("a certificate that nobody knows", Stranger::Certificate(Box::new(other), tls::PEER)),
            (
                "a guest without an invitation",
                Stranger::Certificate(Box::new(Identity::of_years(2000, 3000)), tls::PAIR),
            ),
            ("a protocol that is none", Stranger::Certificate(Box::new(Identity::of_years(2000, 3000)), b"h2")),
        ];
        let address = a.endpoint().to_string();
        std::thread::scope(|scope| {
            let all: Vec<_> = strangers
                .iter()
                .zip(1..)
                .map(|((what, stranger), from)| {
                    let address = &address;
                    (what, scope.spawn(move || ends(address, from, stranger)))
                })
                .collect();
            // Meanwhile a peer is served.
            reach(&b.gate(), &name("a"), LONG).unwrap();
            for (what, thread) in all {
                let took = thread.join().unwrap_or_else(|_| panic!("{what}"));
                assert!(took < LONG, "{what} had {took:?}");
            }
        });
        reach(&b.gate(), &name("a"), LONG).unwrap();
    });
}

#[test]
fn a_flood_of_connections_is_cut_short_and_over_with_its_time() {
    within(|| {
        let (a, b) = (Host::new("127.0.0.1", ""), Host::new("127.0.0.2", ""));
        let _at_a = a.listen(PATIENCE);
        a.pairs_with(&b, "b", "a");
        let before = Instant::now();
        let flood: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(a.endpoint().to_string()).unwrap()).collect();
        // All but a few are ended at once: they hear an end long before the patience of those is over.
        let mut ended = 0;
        for stream in &flood {
            stream.set_read_timeout(Some(LONG)).unwrap();
            ended += usize::from(matches!((&*stream).read(&mut [0]), Ok(0) | Err(_)));
        }
        assert_eq!(ended, 100);
        assert!(before.elapsed() < LONG);
        drop(flood);
        reach(&b.gate(), &name("a"), LONG).unwrap();
    });
}

/// A connection of b's to a, by hand, past the handshake.
async fn connected(a: &Host, b: &Host) -> Tls {
    let identity = Identity::own(&b.layout).unwrap();
    let until = Instant::now() + LONG;
    let stream = dial::tcp(&a.endpoint(), None, Watch::Words, until).await.unwrap();
    let config = tls::client(&identity, Whose::Anyone, tls::PEER).unwrap();
    dial::secure(stream, config, "a", until).await.unwrap()
}

async fn raw(stream: &mut Tls, length: u32, bytes: &[u8]) {
    stream.write_all(&length.to_be_bytes()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
}

async fn framed(stream: &mut Tls, text: &str) {
    raw(stream, u32::try_from(text.len()).unwrap(), text.as_bytes()).await;
}

async fn receive<T: serde::de::DeserializeOwned>(stream: &mut Tls) -> Result<T, fief_wire::Trouble> {
    frame::receive(stream, FRAME_MAX, frame::Within::all(LONG)).await
}

fn greeting(host: &Host, versions: &[u16], purpose: Purpose) -> String {
    let hello = Hello { versions: versions.to_vec(), purpose, who: who(&host.layout).unwrap() };
    serde_json::to_string(&hello).unwrap()
}

#[test]
fn a_peer_that_says_hello_wrongly_is_told_and_shut_out() {
    within(|| {
        let (a, b) = (Host::new("127.0.0.1", ""), Host::new("127.0.0.2", ""));
        let _at_a = a.listen(PATIENCE);
        a.pairs_with(&b, "b", "a");
        let good = greeting(&b, &[1], Purpose::Control);
        let without = |key: &str| {
            let mut value: Value = serde_json::from_str(&good).unwrap();
            value.as_object_mut().unwrap().remove(key);
            value.to_string()
        };
        let ticket = |ticket: &str| greeting(&b, &[1], Purpose::Stream { ticket: ticket.to_owned() });
        // What is sent, as a frame of this length, and a part of what is told.
        let long = format!("{{\"x\":\"{}\"}}", "x".repeat(HELLO_MAX));
        let table: Vec<(String, Option<u32>, &str)> = vec![
            (String::new(), None, "not understand"),
            ("null".into(), None, "not understand"),
            ("[]".into(), None, "not understand"),
            ("{".into(), None, "not understand"),
            ("\u{0}\u{1}".into(), None, "not understand"),
            (format!("{good}{good}"), None, "not understand"),
            (without("versions"), None, "not understand"),
            (without("purpose"), None, "not understand"),
            (without("host"), None, "not understand"),
            (without("clock"), None, "not understand"),
            (good.replacen('{', "{\"versions\":[1],", 1), None, "not understand"),
            (good.replace("[1]", "[-1]"), None, "not understand"),
            (good.replace("[1]", "\"1\""), None, "not understand"),
            (good.replace("[1]", &format!("{:?}", [1; 40])), None, "versions are offered"),
            (good.replace("\"control\"", "\"Control\""), None, "not understand"),
            (good.replace("\"fief\":\"", &format!("\"fief\":\"{}", "9".repeat(200))), None, "too long"),
            (good.replace("[1]", "[]"), None, "no version in common"),
            (good.replace("[1]", "[3,4]"), None, "no version in common"),
            (good.replace("[1]", "[0]"), None, "no version in common"),
            (ticket(""), None, "no stream is expected"),
            (ticket(&"0".repeat(64)), None, "no stream is expected"),
            (long.clone(), None, "16384 at most"),
            (String::new(), Some(u32::MAX), "16384 at most"),
            (String::new(), Some(FRAME_MAX as u32), "16384 at most"),
        ];
        run(async {
            for (text, length, told) in table {
                let mut stream = connected(&a, &b).await;
                let length = length.unwrap_or_else(|| u32::try_from(text.len()).unwrap());
                raw(&mut stream, length, text.as_bytes()).await;
                let shown: String = text.chars().take(80).collect();
                let answer =
                    receive::<Welcome>(&mut stream).await.unwrap_or_else(|trouble| panic!("{shown}: {trouble}"));
                let Welcome::Refused { failure } = answer else { panic!("{shown} was taken") };
                let failure = heard(failure);
                assert!(words(&failure).contains(told), "{shown}: {failure}");
                assert!(receive::<Welcome>(&mut stream).await.is_err());
            }
            // One that never ends, and one that never begins: their time is over.
            for begun in [&b""[..], b"\0\0", b"\0\0\x01\0{\"versions\":"] {
                let mut stream = connected(&a, &b).await;
                stream.write_all(begun).await.unwrap();
                stream.flush().await.unwrap();
                let before = Instant::now();
                assert!(receive::<Welcome>(&mut stream).await.is_err());
                assert!(before.elapsed() < LONG);
            }
            // A newer one that still has ours.
            let mut stream = connected(&a, &b).await;
            framed(&mut stream, &good.replace("[1]", "[9,1,2]").replacen('{', "{\"later\":[{}],", 1)).await;
            assert!(matches!(receive(&mut stream).await, Ok(Welcome::Accepted { version: 2, .. })));
            Ok(())
        })
        .unwrap();
        reach(&b.gate(), &name("a"), LONG).unwrap();
    });
}

#[test]
fn a_peer_that_asks_wrongly_is_cut_off_and_may_come_again() {
    within(|| {
        let (a, b) = (Host::new("127.0.0.1", ""), Host::new("127.0.0.2", ""));
        let at_a = a.listen(HANDSHAKE);
        a.pairs_with(&b, "b", "a");
        let good = greeting(&b, &[1], Purpose::Control);
        let request =
            |service: &str, body: &str| format!("{{\"request\":{{\"id\":1,\"service\":{service},\"body\":{body}}}}}");
        let nested = "[".repeat(100) + &"]".repeat(100);
        // Ends the connection.
        let torn: Vec<(String, Option<u32>)> = vec![
            (String::new(), None),
            ("{}".into(), None),
            ("{\"later\":{\"id\":1}}".into(), None),
            ("{\"pong\":{\"id\":1}}".into(), None),
            ("{\"ping\":{}}".into(), None),
            ("{\"ping\":{\"id\":1,\"id\":2}}".into(), None),
            ("{\"ping\":{\"id\":1},\"ping\":{\"id\":1}}".into(), None),
            (good.clone(), None),
            (request("7", "1"), None),
            (request("\"echo\"", "{\"a\":1,\"a\":2}"), None),
            (request("\"echo\"", &nested), None),
            (request("\"echo\"", "1").replace("\"id\":1", "\"id\":-1"), None),
            (request("\"echo\"", "1").replace("\"id\":1", "\"id\":1,\"more\":1"), None),
            (String::new(), Some(FRAME_MAX as u32 + 1)),
            (String::new(), Some(u32::MAX)),
        ];
        run(async {
            for (text, length) in torn {
                let mut stream = connected(&a, &b).await;
                framed(&mut stream, &good).await;
                assert!(matches!(receive(&mut stream).await, Ok(Welcome::Accepted { .. })));
                let length = length.unwrap_or_else(|| u32::try_from(text.len()).unwrap());
                raw(&mut stream, length, text.as_bytes()).await;
                let answer = receive::<Answer>(&mut stream).await;
                assert!(answer.is_err(), "{text}: {answer:?}");
            }
            // Is told, and goes on.
            let mut stream = connected(&a, &b).await;
            framed(&mut stream, &good).await;
            assert!(matches!(receive(&mut stream).await, Ok(Welcome::Accepted { .. })));
            for wrong in [
                request("\"nothing\"", "1"),
                request("\"\\u001b[2J\"", "1"),
                request("\"stream\"", "null"),
                request("\"stream\"", "{\"service\":\"nothing\",\"purpose\":1,\"plain\":false}"),
                request("\"stream\"", "{\"service\":\"echo\",\"purpose\":1,\"plain\":false,\"more\":1}"),
                request("\"stream\"", "{\"service\":\"echo\",\"purpose\":\"no\",\"plain\":false}"),
            ] {
                framed(&mut stream, &wrong).await;
                let answer = receive::<Answer>(&mut stream).await.unwrap();
                let Answer::Failed { id: 1, failure } = answer else { panic!("{wrong}: {answer:?}") };
                assert!(!words(&heard(failure)).contains('\u{1b}'));
            }
            // More tickets than anybody needs.
            let wanted = request("\"stream\"", "{\"service\":\"echo\",\"purpose\":1,\"plain\":true}");
            let mut refused = 0;
            for _ in 0..40 {
                framed(&mut stream, &wanted).await;
                match receive::<Answer>(&mut stream).await.unwrap() {
                    Answer::Reply { body, .. } => assert_eq!(body.0["plain"], false, "nobody here said so"),
                    other => {
                        refused += 1;
                        assert!(matches!(other, Answer::Failed { .. }), "{other:?}");
                    }
                }
            }
            assert_eq!(refused, 8);
            // The same number again is another question.
            framed(&mut stream, &serde_json::to_string(&Ask::Ping { id: 1 }).unwrap()).await;
            assert!(matches!(receive(&mut stream).await, Ok(Answer::Pong { id: 1 })));
            Ok(())
        })
        .unwrap();
        at_a.heard("b is gone");
        reach(&b.gate(), &name("a"), LONG).unwrap();
    });
}

#[test]
fn a_ticket_is_its_own_peers_and_good_for_one_connection() {
    within(|| {
        let (a, b) = (Host::new("127.0.0.1", ""), Host::new("127.0.0.2", ""));
        let c = Host::new("127.0.0.3", "");
        let at_a = a.listen(HANDSHAKE);
        a.pairs_with(&b, "b", "a");
        a.pairs_with(&c, "c", "a");
        let bring = async |host: &Host, ticket: &str| {
            let mut stream = connected(&a, host).await;
            framed(&mut stream, &greeting(host, &[1], Purpose::Stream { ticket: ticket.to_owned() })).await;
            receive::<Welcome>(&mut stream).await.unwrap()
        };
        let over = run(async {
            let session = Session::connect(&b.gate(), &name("a"), LONG).await.unwrap();
            let wanted = serde_json::json!({ "service": "echo", "purpose": 1, "plain": false });
            let ticket = async || {
                let granted: Value = session.request("stream", &wanted, LONG).await.unwrap();
                granted["ticket"].as_str().unwrap().to_owned()
            };
            let one = ticket().await;
            assert!(matches!(bring(&b, &one).await, Welcome::Accepted { .. }));
            assert!(matches!(bring(&b, &one).await, Welcome::Refused { .. }), "twice");
            let stolen = ticket().await;
            assert!(matches!(bring(&c, &stolen).await, Welcome::Refused { .. }), "another peer");
            assert!(matches!(bring(&b, &stolen).await, Welcome::Refused { .. }), "it is used up");
            Ok(ticket().await)
        })
        .unwrap();
        at_a.heard("b is gone");
        run(async {
            assert!(matches!(bring(&b, &over).await, Welcome::Refused { .. }), "its session is over");
            Ok(())
        })
        .unwrap();
    });
}
