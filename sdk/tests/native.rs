//! The native halves, as an author's tests meet them.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::rc::Rc;

use fief_sdk::connections::Connection;
use fief_sdk::files::File;
use fief_sdk::settings::Value;
use fief_sdk::{Directory, ErrorCode, SecretName, native};

/// A server that gives back what it gets, until the other side ends.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(got @ 1..) = stream.read(&mut bytes) {
                    stream.write_all(&bytes[..got]).unwrap();
                }
            });
        }
    });
    address
}

#[test]
fn plain_functions_wait_for_a_stream() {
    native::grant("server", &echo());
    let stream = Connection::open("server").unwrap();
    stream.write(b"hello").unwrap();
    assert_eq!(stream.read(64).unwrap(), b"hello");
    stream.shut();
    assert_eq!(stream.read(64).unwrap(), b"");
    assert_eq!(Connection::open("other").unwrap_err().code, ErrorCode::Denied);
}

#[test]
fn one_task_reads_the_stream_for_all_who_wait() {
    native::grant("server", &echo());
    native::block_on(async {
        let stream = Rc::new(Connection::connect("server").await.unwrap());
        let heard = Rc::new(RefCell::new(Vec::new()));
        let (reading, into) = (stream.clone(), heard.clone());
        fief_sdk::spawn(async move {
            loop {
                match reading.receive(1, 4096).await.unwrap() {
                    bytes if bytes.is_empty() => break,
                    bytes => into.borrow_mut().extend(bytes),
                }
            }
            into.borrow_mut().extend(b", ended");
        });
        stream.send(b"one".to_vec()).await.unwrap();
        while *heard.borrow() != b"one" {
            fief_sdk::timer::wait(1).await;
        }
        stream.shut();
        while *heard.borrow() != b"one, ended" {
            fief_sdk::timer::wait(1).await;
        }
    });
}

#[test]
fn files_below_a_granted_directory_have_holes() {
    let folder = std::env::temp_dir().join(format!("fief-sdk-native-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a"), vec![7; 256 << 10]).unwrap();
    native::grant_directory("images", &folder);
    native::grant_secret("key", b"xyzzy");
    let images = Directory::parse("images").unwrap();
    assert_eq!(images.path(), folder);
    let file = File::open(&images, "a", true).unwrap();
    file.write(1, b"x").unwrap();
    assert_eq!(file.read(0, 3).unwrap(), [7, b'x', 7]);
    file.sync().unwrap();
    file.punch(64 << 10, 64 << 10).unwrap();
    let before = file.extents(0, 256 << 10).unwrap()[0];
    let hole = file.extents(before.length, 256 << 10).unwrap()[0];
    assert_eq!((before.length, before.hole, hole.length, hole.hole), (64 << 10, false, 64 << 10, true));
    assert_eq!(File::open(&images, "../a", false).unwrap_err().code, ErrorCode::Invalid);
    assert_eq!(File::open(&images, "b", false).unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(fief_sdk::secrets::reveal(&SecretName("key".into())).unwrap(), b"xyzzy");
    std::fs::remove_dir_all(&folder).unwrap();
}
