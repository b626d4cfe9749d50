//! `docs/reasons.md`: the table of reasons that server and agent decide by, as a page.

use brokkr_apis::work::v1alpha1::FailureScope;
use brokkr_apis::work::v1alpha1::reasons::{Reason, ReasonClass, TABLE};

use crate::repository::check_document;

const INTRODUCTION: &str = "\
# Reasons

Why a run failed, what that means for its order, and what to do about it. The agent translates what its
engine said into one of these reasons and sends both words; the server decides from the reason alone, never
from the text of a message, and keeps the rule that decided with the attempt (`status.attempts[].rule`).

| class | what follows |
|---|---|
| Permanent | the order fails, unless `retryPolicy.retryOn` names the reason |
| Final | the order fails; `retryOn` cannot change it |
| Retryable | the order is tried again after its backoff, charged to `retryPolicy.maxRetries` |
| Retryable, not charged | as above, but charged to `retryPolicy.maxLostAttempts` |
| Cancelled | the order is cancelled: somebody stopped the run |
| By policy | TaskFailed of a build is permanent; otherwise retryable when `spec.sideEffects` is None or Idempotent, else permanent |

Scope *Agent* means that the failure says something about the agent's cluster and not about the order. Then
that agent is excluded, and the order goes to another targeted agent at once, if there is one and running
again does no harm.

An order with `sideEffects: NonIdempotent` is never tried again while its run may be alive, nor (without
`retryOn`) when its run was cut short, which the column says. `retryOn` and `neverRetryOn` take a reason, a
word of the engine, or `ExitCode:<number>`; `neverRetryOn` is the stronger one.

This page is made from the table itself; a test fails when it is not current.

| reason | class | scope | cuts short | derived from | what to do |
|---|---|---|---|---|---|
";

const fn class(class: ReasonClass) -> &'static str {
    match class {
        ReasonClass::Permanent => "Permanent",
        ReasonClass::Final => "Final",
        ReasonClass::Retryable => "Retryable",
        ReasonClass::RetryableNotCharged => "Retryable, not charged",
        ReasonClass::Cancelled => "Cancelled",
        ReasonClass::ByPolicy => "By policy",
    }
}

const fn scope(scope: FailureScope) -> &'static str {
    match scope {
        FailureScope::Order => "Order",
        FailureScope::Agent => "Agent",
    }
}

fn row(reason: &Reason) -> String {
    let sources: Vec<_> = reason
        .sources
        .iter()
        .map(|source| format!("`{source}`"))
        .collect();
    let cuts_short = if reason.cuts_short { "yes" } else { "" };
    format!(
        "| `{}` | {} | {} | {cuts_short} | {} | {} |\n",
        reason.name,
        class(reason.class),
        scope(reason.scope),
        sources.join(", "),
        reason.advice
    )
}

#[test]
fn page_of_reasons_is_the_table() {
    let rows: String = TABLE.iter().map(row).collect();
    check_document("docs/reasons.md", &format!("{INTRODUCTION}{rows}"));
}
