//! What a call met on its way: why it failed, for people, and whether that was a server that said nothing.

use crate::error::{Failure, Kind};
use crate::plugin::failure;
use crate::sandbox::protocol::{CallError, ErrorCode, PluginError};

/// What the asks of one call came to.
#[derive(Debug, Default)]
pub(super) struct Met {
    /// It connected, or would have, had there been an answer.
    knocked: bool,
    /// The last operation that failed.
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    failure: Failure,
    connects: bool,
}

impl Met {
    pub(super) fn connected(&mut self) {
        self.knocked = true;
    }

    /// An ask was refused before it became an operation.
    pub(super) fn refused(&mut self, refused: &PluginError) {
        let failure = failure::of_call(&CallError::Plugin(refused.clone()));
        self.last = Some(Last { failure, connects: false });
    }

    pub(super) fn failed(&mut self, failure: Failure, connects: bool) {
        self.knocked |= connects && unanswered(&failure);
        self.last = Some(Last { failure, connects });
    }

    /// Whether the call ended so because a server that the plugin speaks with did not answer. Where none was spoken with, or the
    /// host itself was what took too long (a helper that hung, a lock that was held), nothing is known of any server.
    pub(super) fn silence(&self, error: &CallError) -> bool {
        let says_so = match error {
            CallError::Plugin(error) => matches!(error.code, ErrorCode::Unreachable | ErrorCode::Timeout),
            CallError::Trapped(_) | CallError::Limit(_) | CallError::Missing(_) => false,
        };
        let by_the_host = self.last.as_ref().is_some_and(|last| !last.connects && unanswered(&last.failure));
        says_so && self.knocked && !by_the_host
    }

    /// What the operator reads: the plugin's word, and below it what the host refused the plugin just before, which is
    /// most often the reason.
    pub(super) fn explained(self, error: &CallError) -> Failure {
        let mut failure = failure::of_call(error);
        if let Some(Last { failure: cause, .. }) = self.last.filter(|_| matches!(error, CallError::Plugin(_))) {
            failure.causes.push(cause.message);
            failure.causes.extend(cause.causes);
            failure.hint = failure.hint.or(cause.hint);
            if failure.kind == Kind::Other {
                failure.kind = cause.kind;
            }
        }
        failure
    }
}

fn unanswered(failure: &Failure) -> bool {
    matches!(failure.kind, Kind::Unreachable | Kind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::protocol::Limit;

    fn says(code: ErrorCode) -> CallError {
        CallError::Plugin(failure::refusal(code, ""))
    }

    fn met(connected: bool, failures: &[(Kind, bool)]) -> Met {
        let mut met = Met::default();
        if connected {
            met.connected();
        }
        failures.iter().for_each(|(kind, connects)| met.failed(Failure::new(*kind, "it failed"), *connects));
        met
    }

    #[test]
    fn only_a_server_that_was_spoken_with_is_silent() {
        for code in [ErrorCode::Timeout, ErrorCode::Unreachable] {
            let error = says(code);
            for (silent, connected, failures) in [
                (true, true, &[][..]),
                (true, false, &[(Kind::Unreachable, true)]),
                (true, false, &[(Kind::TimedOut, true)]),
                // What was refused for another reason says nothing of the server.
                (true, true, &[(Kind::NotFound, false)]),
                (true, true, &[(Kind::TimedOut, false), (Kind::TimedOut, true)]),
                // A helper of the host hung, whether or not there is a server.
                (false, false, &[(Kind::TimedOut, false)]),
                (false, true, &[(Kind::TimedOut, false)]),
                // Nobody was spoken with.
                (false, false, &[]),
                (false, false, &[(Kind::Denied, true)]),
            ] {
                assert_eq!(met(connected, failures).silence(&error), silent, "{connected} {failures:?}");
            }
        }
    }

    #[test]
    fn a_plugin_that_says_another_reason_or_none_has_not_met_silence() {
        for error in [says(ErrorCode::Io), says(ErrorCode::NotFound), CallError::Limit(Limit::Wall)] {
            assert!(!met(true, &[(Kind::TimedOut, true)]).silence(&error), "{error:?}");
        }
    }

    #[test]
    fn what_the_host_refused_stands_below_the_plugins_word() {
        let failure = met(false, &[(Kind::NoRoom, false)]).explained(&says(ErrorCode::Io));
        assert_eq!((failure.kind, failure.causes.as_slice()), (Kind::NoRoom, &["it failed".to_owned()][..]));
    }
}
