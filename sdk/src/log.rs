//! Log lines. The host adds plugin, object and call, escapes the text, cuts a line at 4 KiB and drops what comes
//! faster than policy allows (200 lines a second unless told otherwise), so log what an operator would act on.
//!
//! ```
//! # let name = "a"; let reason = "b";
//! fief_sdk::warn!("skipping {name}", reason = reason, directory = "images");
//! ```
//! Everything after the text is a field, `key = value`, where the value is anything that displays.

pub use crate::bindings::host::fief::types::log::Level;

/// What the macros call. Off WebAssembly (unit tests) there is no host and it does nothing.
pub fn write(level: Level, message: &str, fields: &[(String, String)]) {
    if cfg!(target_family = "wasm") {
        crate::bindings::host::fief::types::log::write(level, message, fields);
    }
}

/// `log!(Level::Info, "text {captured}", key = value, …)`
#[macro_export]
macro_rules! log {
    ($level:expr, $message:literal $(, $key:ident = $value:expr)* $(,)?) => {
        $crate::log::write($level, &::std::format!($message), &[
            $((::std::stringify!($key).replace('_', "-"), ::std::string::ToString::to_string(&$value))),*
        ])
    };
}

/// Something failed that an operator must look at.
#[macro_export]
macro_rules! error {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Error, $($line)+) };
}
/// Something is odd, and the call goes on.
#[macro_export]
macro_rules! warn {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Warn, $($line)+) };
}
/// A step worth telling.
#[macro_export]
macro_rules! info {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Info, $($line)+) };
}
/// For whoever looks for a fault in the plugin.
#[macro_export]
macro_rules! debug {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Debug, $($line)+) };
}
