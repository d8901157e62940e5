//! `fief` with the fault points of `src/fault.rs`, for tests: another name, so that nobody runs it by mistake.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(fief::cli::main())
}
