//! A monitor that says wrong things, played over a socket pair.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::*;

const GREETING: &str =
    r#"{"QMP":{"version":{"qemu":{"micro":22,"minor":2,"major":7},"package":""},"capabilities":["oob"]}}"#;

/// Plays QEMU: greets, agrees to the capabilities, then says `lines` once the next command has come. `{id}` in a line
/// stands for that command's id.
async fn after_handshake(lines: &[&str]) -> (Monitor, mpsc::Receiver<Event>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    tokio::spawn(async move {
        let (reader, mut writer) = theirs.into_split();
        let mut commands = BufReader::new(reader).lines();
        writer.write_all(format!("{GREETING}\r\n").as_bytes()).await.unwrap();
        commands.next_line().await.unwrap();
        writer.write_all(b"{\"return\": {}, \"id\": 1}\r\n").await.unwrap();
        let command = commands.next_line().await.unwrap().unwrap();
        let id = serde_json::from_str::<serde_json::Value>(&command).unwrap()["id"].to_string();
        for line in lines {
            // The other side may have given up by now.
            let _ = writer.write_all(line.replace("{id}", &id).as_bytes()).await;
        }
    });
    Monitor::over(ours).await.unwrap()
}

/// What `open` makes of a peer that says `bytes` and then ends.
async fn greeted_with(bytes: &[u8]) -> Failure {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let bytes = bytes.to_vec();
    tokio::spawn(async move {
        let _ = theirs.write_all(&bytes).await;
    });
    Monitor::over(ours).await.unwrap_err()
}

#[tokio::test]
async fn what_does_not_begin_with_a_greeting_is_no_monitor() {
    for (said, cause) in [
        (&b""[..], "connection has ended"),
        (b"{\"QMP\":", "middle of a line"),
        (b"SSH-2.0-OpenSSH\r\n", "did not speak QMP"),
        (b"{\"event\":\"STOP\"}\n", "did not begin with a greeting"),
        (b"[]\n", "did not speak QMP"),
    ] {
        let failure = greeted_with(said).await;
        assert!(failure.to_string().contains(cause), "{failure}");
    }
    let long = vec![b' '; 10 << 20];
    assert!(greeted_with(&long).await.to_string().contains("more than"));
}

#[tokio::test]
async fn a_monitor_that_does_not_greet_is_given_up() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let failure = Monitor::within(ours, Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(failure.kind, Kind::TimedOut);
}

#[tokio::test]
async fn events_before_the_answer_are_told_and_unknown_ones_passed_over() {
    let (monitor, mut events) = after_handshake(&[
        "{\"event\":\"NEW_IN_QEMU_12\",\"data\":{\"a\":[1,2]}}\n",
        "{\"event\":\"STOP\",\"timestamp\":{\"seconds\":1,\"microseconds\":2}}\n",
        "{\"return\":{\"status\":\"paused\",\"running\":false},\"id\":{id}}\n",
    ])
    .await;
    assert_eq!(monitor.status().await.unwrap(), RunState::Paused);
    assert_eq!(events.recv().await, Some(Event::Paused));
    assert_eq!(events.recv().await, Some(Event::Closed));
    assert!(monitor.status().await.is_err());
}

#[tokio::test]
async fn what_was_told_in_vain_is_owed_until_it_is_answered() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (slow, waits) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        let (reader, mut writer) = theirs.into_split();
        let mut commands = BufReader::new(reader).lines();
        writer.write_all(format!("{GREETING}\r\n").as_bytes()).await.unwrap();
        commands.next_line().await.unwrap();
        writer.write_all(b"{\"return\": {}, \"id\": 1}\r\n").await.unwrap();
        waits.await.unwrap();
        for id in 2..=3 {
            commands.next_line().await.unwrap();
            writer.write_all(format!("{{\"return\": {{}}, \"id\": {id}}}\r\n").as_bytes()).await.unwrap();
        }
    });
    let (monitor, _events) = Monitor::over(ours).await.unwrap();
    assert!(!monitor.owes());
    tokio::time::timeout(Duration::from_millis(20), monitor.pause()).await.unwrap_err();
    assert!(monitor.owes());
    slow.send(()).unwrap();
    monitor.resume().await.unwrap();
    assert!(!monitor.owes());
}

#[tokio::test]
async fn the_refusal_is_in_qemus_own_words() {
    let (monitor, _events) =
        after_handshake(&["{\"error\":{\"class\":\"GenericError\",\"desc\":\"no \\u001b[2Jway\"},\"id\":{id}}\n"])
            .await;
    let failure = monitor.resume().await.unwrap_err();
    assert_eq!(failure.to_string(), "the hypervisor did not do cont: no \\u{1b}[2Jway");
}

#[tokio::test]
async fn what_is_not_the_protocol_ends_the_connection() {
    let long = format!("{{\"return\":\"{}\",\"id\":{{id}}}}\n", "x".repeat(10 << 20));
    for (said, cause) in [
        ("[1,2,3]\n", "did not speak QMP"),
        ("\"return\"\n", "did not speak QMP"),
        ("{}\n", "did not speak QMP"),
        ("{\"return\":{},\"error\":{\"class\":\"x\",\"desc\":\"y\"},\"id\":{id}}\n", "did not speak QMP"),
        ("{\"return\":{},\"id\":999}\n", "was not given"),
        ("{\"return\":{}}\n", "was not given"),
        ("{\"return\":{},\"id\":\"2\"}\n", "was not given"),
        ("{\"return\":{\"status\":", "middle of a line"),
        ("\u{0}\u{1}\u{2}\n", "did not speak QMP"),
        (GREETING, "middle of a line"),
        (&long, "more than"),
    ] {
        let (monitor, mut events) = after_handshake(&[said]).await;
        let failure = monitor.resume().await.unwrap_err();
        assert!(failure.to_string().contains(cause), "{failure}");
        assert_eq!(events.recv().await, Some(Event::Closed));
    }
}

#[tokio::test]
async fn an_answer_of_another_shape_fails_its_command_only() {
    let (monitor, _events) = after_handshake(&["{\"return\":[],\"id\":{id}}\n"]).await;
    assert!(monitor.status().await.is_err());
}

#[tokio::test]
async fn a_state_of_a_later_qemu_is_still_a_state() {
    let (monitor, _events) =
        after_handshake(&["{\"return\":{\"status\":\"dreaming\",\"running\":true},\"id\":{id}}\n"]).await;
    assert_eq!(monitor.status().await.unwrap(), RunState::Other);
}

#[tokio::test]
async fn a_flood_of_events_does_not_hold_up_answers() {
    let flood = "{\"event\":\"RESUME\"}\n".repeat(10_000);
    let (monitor, mut events) = after_handshake(&[&flood, "{\"return\":{\"status\":\"running\"},\"id\":{id}}\n"]).await;
    assert_eq!(monitor.status().await.unwrap(), RunState::Running);
    let mut heard = 0;
    while events.recv().await.is_some_and(|event| event != Event::Closed) {
        heard += 1;
    }
    assert!((1..=EVENTS_MAX).contains(&heard), "{heard} events were kept");
}

#[tokio::test]
async fn an_end_that_answers_quit_is_no_failure() {
    let (monitor, _events) = after_handshake(&[]).await;
    monitor.quit().await.unwrap();
}
