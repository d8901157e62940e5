//! What policy says of an operation. Pure.

use super::{Actor, Operation};
use crate::config::policy::Policy;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// `because` names the line of policy, or says that the operator may.
    Allowed {
        because: String,
    },
    Denied {
        reason: String,
        hint: String,
    },
}

pub fn judge(policy: &Policy, actor: &Actor, operation: &Operation) -> Verdict {
    let _ = policy;
    if *actor == Actor::Operator
        && matches!(operation, Operation::HypervisorStart { .. } | Operation::HypervisorProbe { .. })
    {
        return Verdict::Allowed { because: "the operator may".into() };
    }
    Verdict::Denied { reason: "no judge yet".into(), hint: String::new() }
}
