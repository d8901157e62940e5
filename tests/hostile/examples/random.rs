//! Asks the host for 1 GiB of random bytes at once: whatever is set aside for them is the host's memory.

mod wasi {
    wit_bindgen::generate!({
        inline: "
            package wasi:random@0.2.1;
            interface random { get-random-bytes: func(len: u64) -> list<u8>; }
            world all { import random; }
        ",
    });
}

hostile::list!("hostile-random", all);

fn all(_: &HostilePool) -> fief_sdk::Result<Vec<fief_sdk::storage::Volume>> {
    let bytes = wasi::wasi::random::random::get_random_bytes(1 << 30);
    Ok(vec![hostile::calm::volume("random", bytes.len() as u64)])
}
