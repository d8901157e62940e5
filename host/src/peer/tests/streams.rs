//! Requests and bytes between hosts that trust each other.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::*;
use crate::sys::netns::within;

const OFF: &str = "encryption = \"off\"";

async fn echoes(session: &Session, purpose: &str) -> Stream {
    let mut stream = session.open_stream("echo", &purpose, LONG).await.unwrap();
    let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
    let mut back = vec![0; sent.len()];
    let (mut from, mut to) = tokio::io::split(&mut stream);
    let (wrote, read) = tokio::join!(
        async {
            to.write_all(&sent).await?;
            to.flush().await
        },
        from.read_exact(&mut back)
    );
    wrote.unwrap();
    read.unwrap();
    assert!(back == sent);
    stream
}

#[test]
fn many_requests_are_under_way_and_each_has_its_answer() {
    within(|| {
        let (a, b) = (Host::new("127.0.0.1", ""), Host::new("127.0.0.2", ""));
        let at_a = a.listen(HANDSHAKE);
        a.pairs_with(&b, "b", "a");
        let gate = b.gate();
        run(async {
            let session = Session::connect(&gate, &name("a"), LONG).await.unwrap();
            let slow = session.request::<Value>("echo", &"slow", LONG);
            let quick = async {
                for number in 0..50 {
                    let answer: u32 = session.request("echo", &number, LONG).await.unwrap();
                    assert_eq!(answer, number);
                }
            };
            let (slow, ()) = tokio::join!(slow, quick);
            assert_eq!(slow.unwrap(), "slow");
            let failure = session.request::<Value>("echo", &"fail", LONG).await.unwrap_err();
            assert_eq!(failure, Failure::conflict("it is busy").hint("wait"));
            let none = session.request::<Value>("no-such", &(), LONG).await.unwrap_err();
            assert_eq!(none.kind, Kind::NotFound);
            let wrong = session.request::<u32>("echo", &"text", LONG).await.unwrap_err();
            assert_eq!(wrong.kind, Kind::Unreachable);
            let huge = session.request::<Value>("echo", &"huge", LONG).await.unwrap_err();
            assert!(huge.message.contains("cannot be sent"), "{huge}");
            // As many as are taken at a time, and four more, which come back while the others are still under way.
            let other = Session::connect(&gate, &name("a"), LONG).await.unwrap();
            let mut all: FuturesUnordered<_> =
                (0..20).map(|_| session.request::<Value>("echo", &"hold", LONG)).collect();
            for _ in 0..4 {
                assert_eq!(all.next().await.unwrap().unwrap_err().kind, Kind::Conflict);
            }
            let _: Value = other.request("echo", &"release", LONG).await.unwrap();
            while let Some(answer) = all.next().await {
                assert_eq!(answer.unwrap(), "hold");
            }
            drop(all);
            let answer: u32 = session.request("echo", &7, LONG).await.unwrap();
            assert_eq!(answer, 7);
            let late = session.request::<Value>("echo", &"slow", Duration::from_millis(10)).await.unwrap_err();
            assert_eq!(late.kind, Kind::TimedOut);
            Ok(())
        })
        .unwrap();
        at_a.heard("b is gone");
        at_a.heard("b 49");
    });
}

#[test]
fn bytes_go_beside_and_are_encrypted_unless_both_say_otherwise() {
    within(|| {
        for (lines_a, lines_b, how) in
            [("", "", "encrypted"), (OFF, "", "encrypted"), ("", OFF, "encrypted"), (OFF, OFF, "plain")]
        {
            let (a, b) = (Host::new("127.0.0.1", lines_a), Host::new("127.0.0.2", lines_b));
            let at_a = a.listen(HANDSHAKE);
            a.pairs_with(&b, "b", "a");
            let gate = b.gate();
            run(async {
                let session = Session::connect(&gate, &name("a"), LONG).await.unwrap();
                let (one, two) = (echoes(&session, "memory").await, echoes(&session, "disk").await);
                assert_eq!((one.is_encrypted(), two.is_encrypted()), (how != "plain", how != "plain"));
                let refused = session.open_stream("echo", &"no", LONG).await.unwrap_err();
                assert_eq!(refused.kind, Kind::Denied);
                Ok(())
            })
            .unwrap();
            at_a.heard(&format!("b \"memory\" {how}"));
            at_a.heard(&format!("b \"disk\" {how}"));
        }
    });
}

#[test]
fn a_host_that_stops_listening_says_so_and_ends_what_is_open() {
    within(|| {
        let (a, b) = (
            Host::new("127.0.0.1", "stream-network = \"127.0.0.9\"\ncontrol-network = \"127.0.0.1\""),
            Host::new("127.0.0.2", ""),
        );
        let at_a = a.listen(HANDSHAKE);
        a.pairs_with(&b, "b", "a");
        let gate = b.gate();
        run(async {
            let session = Session::connect(&gate, &name("a"), LONG).await.unwrap();
            // On the network that is named for it.
            let stream = echoes(&session, "memory").await;
            let Stream::Encrypted(tls) = &stream else { panic!("it is plain") };
            assert_eq!(tls.get_ref().0.peer_addr().unwrap().to_string(), "127.0.0.9:8002");
            drop(stream);
            let begun = std::time::Instant::now();
            tokio::task::spawn_blocking(move || drop(at_a)).await.unwrap();
            assert!(begun.elapsed() < LONG);
            let ended = session.request::<Value>("echo", &1, LONG).await.unwrap_err();
            assert_eq!(ended.kind, Kind::Unreachable, "{ended}");
            Ok(())
        })
        .unwrap();
    });
}
