//! What fief says while it works: on stderr, warnings only unless `-v` or `FIEF_LOG` asks for more.

use tracing_subscriber::Layer;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::output::Format;
use super::output::failure::warn;

const VARIABLE: &str = "FIEF_LOG";

/// Who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// The person who typed the command, as often as `-v` was said.
    Person { verbose: u8 },
    /// A log file, later: each line has its time.
    File,
}

/// Called once. A filter that cannot be read is said and passed over: it must not keep a domain from being stopped.
pub(super) fn start(reader: Reader, format: Format) {
    let lines = tracing_subscriber::fmt::layer().with_target(false).with_ansi(false).with_writer(std::io::stderr);
    let (default, lines) = match reader {
        Reader::Person { verbose } => {
            let level = match verbose {
                0 => LevelFilter::WARN,
                1 => LevelFilter::INFO,
                2 => LevelFilter::DEBUG,
                3.. => LevelFilter::TRACE,
            };
            (level, lines.without_time().boxed())
        }
        Reader::File => (LevelFilter::INFO, lines.boxed()),
    };
    let registry = tracing_subscriber::registry().with(lines);
    match asked(format) {
        Some(filter) => registry.with(filter).init(),
        None => registry.with(default).init(),
    }
}

fn asked(format: Format) -> Option<EnvFilter> {
    let filter = std::env::var_os(VARIABLE).filter(|filter| !filter.is_empty())?;
    let filter = filter.to_string_lossy();
    EnvFilter::try_new(&filter)
        .map_err(|error| {
            warn(&format!("{VARIABLE}={filter:?} is not a log filter ({error}); try {VARIABLE}=debug"), format);
        })
        .ok()
}
