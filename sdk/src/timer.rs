//! Time for `async` functions. A plain function that waits does so with `std::thread::sleep`.

/// Comes back after so many milliseconds, while other calls go on.
pub async fn wait(milliseconds: u32) {
    #[cfg(target_family = "wasm")]
    crate::bindings::host::fief::types::timer::wait(milliseconds).await;
    #[cfg(not(target_family = "wasm"))]
    tokio::time::sleep(std::time::Duration::from_millis(milliseconds.into())).await;
}
