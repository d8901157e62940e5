//! Uses a handle that it was never given.
#![allow(unsafe_code)]

mod wasi {
    wit_bindgen::generate!({
        inline: "
            package wasi:io@0.2.1;
            interface poll { resource pollable { ready: func() -> bool; } }
            world all { import poll; }
        ",
    });
}

use wasi::wasi::io::poll::Pollable;

hostile::list!("hostile-forged", all);

fn all(_: &HostilePool) -> fief_sdk::Result<Vec<fief_sdk::storage::Volume>> {
    // SAFETY: there is none to be had; the host must notice.
    let forged = unsafe { Pollable::from_handle(0xdead) };
    Ok(vec![hostile::calm::volume("forged", u64::from(forged.ready()))])
}
