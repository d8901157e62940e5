//! What fief says while it works: on stderr, warnings only unless `-v` or `FIEF_LOG` asks for more.

use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt::SubscriberBuilder;

use super::output::failure::warn;

const VARIABLE: &str = "FIEF_LOG";

/// Called once. A filter that cannot be read is said and passed over: it must not keep a domain from being stopped.
pub(super) fn start(verbose: u8) {
    if let Some(filter) = std::env::var_os(VARIABLE).filter(|filter| !filter.is_empty()) {
        let filter = filter.to_string_lossy();
        match EnvFilter::try_new(&filter) {
            Ok(filter) => return builder().with_env_filter(filter).init(),
            Err(error) => warn(&format!("{VARIABLE}={filter:?} is not a log filter ({error}); try {VARIABLE}=debug")),
        }
    }
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        3.. => LevelFilter::TRACE,
    };
    builder().with_max_level(level).init();
}

/// For the processes that fief is made of: their stderr is a log file, so it says more, and when.
pub(super) fn start_hidden() {
    tracing_subscriber::fmt()
        .with_target(false)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .with_max_level(LevelFilter::INFO)
        .init();
}

fn builder() -> SubscriberBuilder<
    tracing_subscriber::fmt::format::DefaultFields,
    tracing_subscriber::fmt::format::Format<tracing_subscriber::fmt::format::Full, ()>,
    LevelFilter,
    fn() -> std::io::Stderr,
> {
    let stderr: fn() -> std::io::Stderr = std::io::stderr;
    tracing_subscriber::fmt().without_time().with_target(false).with_ansi(false).with_writer(stderr)
}
