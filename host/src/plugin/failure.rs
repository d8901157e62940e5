//! Errors across the wall between host and plugin: a plugin's words become a failure for people, the host's failure
//! becomes words for a plugin (which sees no path and no cause of the host's).

use crate::error::{Failure, Kind};
use crate::plugin::text::printable;
use crate::sandbox::protocol::{Ability, CallError, ErrorCode, Limit, PluginError, Retry};

/// Why a call failed, without the name of the plugin or the call.
pub(super) fn of_call(error: &CallError) -> Failure {
    match error {
        CallError::Plugin(error) => of_plugin(error),
        CallError::Trapped(text) => Failure::new(Kind::PluginFault, format!("its code failed: {}", printable(text)))
            .hint("run with FIEF_LOG=debug to see where"),
        CallError::Limit(limit) => {
            let (what, key) = limit_words(*limit);
            let failure = Failure::new(Kind::PluginFault, what);
            match key {
                Some(key) => failure.hint(format!("`limits.{key}` of the plugin in policy.toml sets this")),
                None => failure,
            }
        }
        CallError::Missing(ability) => Failure::new(Kind::Usage, format!("it offers no {}", ability_name(*ability))),
    }
}

/// Why a sandbox did not load or compile a plugin.
pub(super) fn of_load(error: &CallError) -> Failure {
    match error {
        CallError::Trapped(reason) => Failure::new(Kind::PluginFault, printable(reason)),
        CallError::Plugin(_) | CallError::Limit(_) | CallError::Missing(_) => of_call(error),
    }
}

fn of_plugin(error: &PluginError) -> Failure {
    let (kind, what) = match &error.code {
        ErrorCode::NotFound => (Kind::NotFound, "not found".into()),
        ErrorCode::AlreadyExists => (Kind::Conflict, "it already exists".into()),
        ErrorCode::InUse(by) if by.is_empty() => (Kind::Conflict, "it is in use".into()),
        ErrorCode::InUse(by) => (Kind::Conflict, format!("it is in use by {}", printable(by))),
        ErrorCode::WrongState => (Kind::Conflict, "its state does not allow that".into()),
        ErrorCode::Invalid => (Kind::Usage, "not valid".into()),
        ErrorCode::Denied => (Kind::Denied, "denied".into()),
        ErrorCode::Exhausted => (Kind::NoRoom, "no room".into()),
        ErrorCode::Unreachable => (Kind::Unreachable, "not reachable".into()),
        ErrorCode::Timeout => (Kind::TimedOut, "timed out".into()),
        ErrorCode::Unsupported => (Kind::Usage, "not supported".into()),
        ErrorCode::Corrupt => (Kind::Other, "the data is damaged".into()),
        ErrorCode::Io => (Kind::Other, "input or output failed".into()),
        ErrorCode::Other(code) => (Kind::Other, printable(code)),
    };
    let mut failure = Failure::new(kind, if error.message.is_empty() { what } else { printable(&error.message) });
    match error.retry {
        Retry::AfterMs(ms) => failure.hint = Some(format!("try again in {} s", ms.div_ceil(1000))),
        Retry::AfterFix | Retry::Never => {}
    }
    failure
}

fn limit_words(limit: Limit) -> (&'static str, Option<&'static str>) {
    match limit {
        Limit::Memory => ("it wanted more memory than its limit", Some("memory")),
        Limit::Tables => ("it wanted more table elements than its limit", Some("table-elements")),
        Limit::Handles => ("it held more handles than its limit", Some("handles")),
        Limit::Cpu => ("it spent its processor time", Some("cpu")),
        Limit::Wall => ("it ran past its deadline", Some("wall")),
        Limit::HostCallBytes => ("it moved more bytes in one call than its limit", Some("host-call-bytes")),
        Limit::Stack => ("it ran out of stack", None),
    }
}

fn ability_name(ability: Ability) -> &'static str {
    match ability {
        Ability::Snapshots => "snapshots",
        Ability::Clones => "clones",
        Ability::Renames => "other names for volumes",
        Ability::Fences => "fences",
        Ability::Notes => "notes",
        Ability::Block => "block service",
    }
}

/// A server that did not answer is tried again no sooner than after this, in milliseconds.
const RETRY_AFTER: u32 = 1_000;

/// What a plugin is told of a host operation that failed. Only the failure's message goes over, and only where it
/// is about what the plugin itself named; the whole of it stays with the host (see `Session::call`).
pub(super) fn to_plugin(failure: &Failure, creates: bool) -> PluginError {
    let (code, message) = match failure.kind {
        Kind::NotFound => (ErrorCode::NotFound, "not found"),
        Kind::Conflict if creates => (ErrorCode::AlreadyExists, "already exists"),
        Kind::Conflict => (ErrorCode::WrongState, "in use, or its state does not allow that"),
        Kind::Denied => (ErrorCode::Denied, "policy denies it"),
        Kind::NoRoom => (ErrorCode::Exhausted, "no room is left"),
        Kind::Usage => (ErrorCode::Invalid, "not valid"),
        Kind::Unreachable => (ErrorCode::Unreachable, "not reachable"),
        Kind::TimedOut => (ErrorCode::Timeout, "timed out"),
        Kind::Other | Kind::Findings | Kind::PluginFault | Kind::PartlyDone | Kind::NeedsRecover | Kind::NeedsYes => {
            (ErrorCode::Io, "the host could not do it")
        }
    };
    let retry = match failure.kind {
        Kind::Denied | Kind::NoRoom | Kind::NotFound => Retry::AfterFix,
        Kind::Unreachable | Kind::TimedOut => Retry::AfterMs(RETRY_AFTER),
        Kind::Conflict
        | Kind::Usage
        | Kind::Other
        | Kind::Findings
        | Kind::PluginFault
        | Kind::PartlyDone
        | Kind::NeedsRecover
        | Kind::NeedsYes => Retry::Never,
    };
    PluginError { code, message: message.into(), retry }
}

/// The host refuses an ask before it becomes an operation.
pub(super) fn refusal(code: ErrorCode, message: impl Into<String>) -> PluginError {
    PluginError { code, message: message.into(), retry: Retry::Never }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugins_text_is_escaped_and_its_code_decides_the_exit() {
        let error = refusal(ErrorCode::Exhausted, "full\x1b[2J");
        let failure = of_call(&CallError::Plugin(error));
        assert_eq!((failure.kind, failure.message.as_str()), (Kind::NoRoom, "full\\u{1b}[2J"));
        assert_eq!(of_call(&CallError::Trapped("oops".into())).kind, Kind::PluginFault);
    }

    #[test]
    fn a_plugin_is_told_no_path_and_no_cause() {
        let failure = Failure::other("cannot open /var/lib/secret").hint("look at /etc/shadow");
        let told = to_plugin(&failure, false);
        assert!(!told.message.contains('/'), "{}", told.message);
    }
}
