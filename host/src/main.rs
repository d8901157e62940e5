//! The `fief` program: words in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(fief::cli::main())
}
