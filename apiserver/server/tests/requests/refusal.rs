//! Rows of bad requests, and what each must be answered; nothing of any of them may be left behind.

use serde_json::Value;

use crate::client::{Answer, Call, Client};
use crate::server::Server;

/// What a cause says of a field that is refused.
pub(crate) const REQUIRED: &str = "FieldValueRequired";
pub(crate) const INVALID: &str = "FieldValueInvalid";
pub(crate) const FORBIDDEN: &str = "FieldValueForbidden";
pub(crate) const NOT_SUPPORTED: &str = "FieldValueNotSupported";
pub(crate) const TOO_LONG: &str = "FieldValueTooLong";
pub(crate) const TOO_MANY: &str = "FieldValueTooMany";
pub(crate) const DUPLICATE: &str = "FieldValueDuplicate";

/// One bad request and its one right answer.
pub(crate) struct Row {
    name: String,
    call: Call,
    code: u16,
    reason: &'static str,
    says: Vec<String>,
    causes: Vec<(String, &'static str)>,
}

/// A row that expects 400 until it is told otherwise.
pub(crate) fn row(name: impl Into<String>, call: Call) -> Row {
    Row {
        name: name.into(),
        call,
        code: 400,
        reason: "BadRequest",
        says: Vec::new(),
        causes: Vec::new(),
    }
}

impl Row {
    pub(crate) fn is(mut self, code: u16, reason: &'static str) -> Self {
        (self.code, self.reason) = (code, reason);
        self
    }

    /// The message holds this text.
    pub(crate) fn says(mut self, text: impl Into<String>) -> Self {
        self.says.push(text.into());
        self
    }

    /// 422 with this cause; all causes of an answer must be named.
    pub(crate) fn invalid(mut self, field: impl Into<String>, reason: &'static str) -> Self {
        (self.code, self.reason) = (422, "Invalid");
        self.at(field, reason)
    }

    /// A cause of another code than 422 that is about a field.
    pub(crate) fn at(mut self, field: impl Into<String>, reason: &'static str) -> Self {
        self.causes.push((field.into(), reason));
        self
    }

    /// A cause of another code than 422.
    pub(crate) fn cause(self, reason: &'static str) -> Self {
        self.at("", reason)
    }

    fn failure(&self, problems: &[String], answer: &Answer) -> String {
        let body = String::from_utf8_lossy(&answer.body);
        let shown: String = body.chars().take(1500).collect();
        format!("{}: {}\n    {shown}", self.name, problems.join("; "))
    }

    fn problems(&self, answer: &Answer) -> Vec<String> {
        let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let message = status["message"].as_str().unwrap_or_default();
        let mut problems = Vec::new();
        if (answer.status.as_u16(), status["reason"].as_str()) != (self.code, Some(self.reason)) {
            problems.push(format!("expected {} {}", self.code, self.reason));
        }
        let unsaid = self.says.iter().filter(|text| !message.contains(text.as_str()));
        problems.extend(unsaid.map(|text| format!("does not say {text:?}")));
        let causes = causes(&status);
        let expected: Vec<(String, String)> = self
            .causes
            .iter()
            .map(|(field, reason)| (field.clone(), (*reason).to_owned()))
            .collect();
        if causes != expected {
            problems.push(format!("causes {causes:?} instead of {expected:?}"));
        }
        problems
    }
}

/// Field and reason of every cause.
fn causes(status: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let causes = status["details"]["causes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    causes
        .iter()
        .map(|cause| (text(&cause["field"]), text(&cause["reason"])))
        .collect()
}

/// Sends every row and reports all that are answered otherwise.
pub(crate) async fn all_answered(client: &Client, rows: Vec<Row>) {
    let mut failures = Vec::new();
    for row in rows {
        let answer = client.send(&row.call).await;
        let problems = row.problems(&answer);
        if !problems.is_empty() {
            failures.push(row.failure(&problems, &answer));
        }
    }
    report(&failures);
}

/// As [`all_answered`]; besides, nothing may be left behind.
pub(crate) async fn all_refused(server: &Server, client: &Client, rows: Vec<Row>) {
    let mut failures = Vec::new();
    let mut before = server.traces().await;
    for row in rows {
        let answer = client.send(&row.call).await;
        let mut problems = row.problems(&answer);
        let after = server.traces().await;
        if after != before {
            problems.push(format!("left behind:\n{after}instead of\n{before}"));
        }
        before = after;
        if !problems.is_empty() {
            failures.push(row.failure(&problems, &answer));
        }
    }
    report(&failures);
}

fn report(failures: &[String]) {
    assert!(
        failures.is_empty(),
        "{} rows:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
