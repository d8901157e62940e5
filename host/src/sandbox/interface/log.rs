//! `fief:types/log`: structured log lines.

use crate::sandbox::protocol::LogLevel;
use crate::sandbox::room::Room;
use crate::sandbox::version::v0_1::fief::types::log::{Host, Level};
use crate::sandbox::version::v0_1::fief::types::types;

impl Host for Room {
    fn write(&mut self, level: Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        let level = match level {
            Level::Error => LogLevel::Error,
            Level::Warn => LogLevel::Warn,
            Level::Info => LogLevel::Info,
            Level::Debug => LogLevel::Debug,
            Level::Trace => LogLevel::Trace,
        };
        self.log.write(level, &message, fields);
        Ok(())
    }
}

impl types::Host for Room {}
