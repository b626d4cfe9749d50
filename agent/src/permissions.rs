//! What a failed call to the cluster means for an order, and the command that grants what is missing.
//!
//! Every write happens as the runner account of the namespace. Two grants make it possible, and their absence looks
//! different: the agent may not impersonate the account, or the account may not do what was asked.

use brokkr_apis::work::v1alpha1::reasons;

use crate::cluster::ClusterError;
use crate::outcome::Failure;

/// What was being done when the cluster refused.
#[derive(Clone, Copy, Debug)]
pub struct Attempted<'a> {
    /// What for, such as "create BuildRun wo-0123456789ab-a1".
    pub what: &'a str,
    /// The verb and the resource it needs, such as "create" and "buildruns.shipwright.io".
    pub verbs: &'a str,
    /// The resource with its group, as kubectl takes it.
    pub resource: &'a str,
    /// The namespace.
    pub namespace: &'a str,
    /// The account it was done as.
    pub runner: &'a str,
}

/// The failure of an order whose preparation the cluster refused. Nothing of the work has run.
pub fn failure(error: &ClusterError, attempted: Attempted<'_>) -> Failure {
    let Attempted { what, namespace, .. } = attempted;
    let message = format!("cannot {what} in namespace {namespace}: {error}");
    match error {
        ClusterError::Forbidden(refusal) => forbidden(refusal, &message, attempted),
        ClusterError::Invalid(_) => {
            Failure::before_start(reasons::INVALID_SPEC, message).with_source("Invalid")
        }
        ClusterError::NotFound(_) => Failure::before_start(reasons::REFERENCE_NOT_FOUND, message)
            .with_source("NotFound")
            .of_agent(),
        ClusterError::NotServed(_) => {
            let message =
                format!("{message}; install what defines it, or target an agent whose cluster has it");
            Failure::before_start(reasons::REFERENCE_NOT_FOUND, message)
                .with_source("NotServed")
                .of_agent()
        }
        ClusterError::AlreadyExists(_) => Failure::before_start(reasons::FORBIDDEN, message)
            .with_source("AlreadyExists")
            .of_agent(),
        ClusterError::Unavailable(_) => Failure::before_start(reasons::API_UNAVAILABLE, message),
    }
}

/// Says which of the two grants is missing. A namespace that is being deleted refuses with the same code.
fn forbidden(refusal: &str, message: &str, attempted: Attempted<'_>) -> Failure {
    let failure = |advice: String| {
        Failure::before_start(reasons::FORBIDDEN, format!("{message}; {advice}"))
            .with_source("Forbidden")
            .of_agent()
    };
    if refusal.contains("because it is being terminated") {
        return failure("the namespace is being deleted".to_owned());
    }
    if refusal.contains("cannot impersonate") {
        return failure(format!(
            "let the agent act there with: {}",
            impersonation_command(refusal, attempted)
        ));
    }
    failure(format!("allow it with: {}", permission_command(attempted)))
}

/// The command that lets the agent, whose user name the refusal carries, act as the runner of the namespace.
fn impersonation_command(refusal: &str, attempted: Attempted<'_>) -> String {
    let Attempted {
        namespace, runner, ..
    } = attempted;
    let user = refusal
        .split_once("User \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("", |(user, _)| user);
    let subject = match user.strip_prefix("system:serviceaccount:") {
        Some(account) => format!("--serviceaccount={account}"),
        None => format!("--user={user}"),
    };
    format!(
        "kubectl -n {namespace} create role {runner}-impersonation --verb=impersonate --resource=serviceaccounts \
         --resource-name={runner} && kubectl -n {namespace} create rolebinding {runner}-impersonation \
         --role={runner}-impersonation {subject}"
    )
}

/// The command that lets the runner do what was refused.
fn permission_command(attempted: Attempted<'_>) -> String {
    let Attempted {
        namespace,
        runner,
        verbs,
        resource,
        ..
    } = attempted;
    let role = format!("{runner}-{}", resource.split('.').next().unwrap_or(resource));
    format!(
        "kubectl -n {namespace} create role {role} --verb={verbs} --resource={resource} && \
         kubectl -n {namespace} create rolebinding {role} --role={role} --serviceaccount={namespace}:{runner}"
    )
}

#[cfg(test)]
mod tests {
    use brokkr_apis::work::v1alpha1::FailureScope;

    use super::*;

    fn refused(message: &str) -> Failure {
        let attempted = Attempted {
            what: "create BuildRun wo-0123456789ab-a1",
            verbs: "create,get,patch",
            resource: "buildruns.shipwright.io",
            namespace: "team-a",
            runner: "brokkr-runner",
        };
        failure(&ClusterError::Forbidden(message.to_owned()), attempted)
    }

    #[test]
    fn missing_impersonation_names_the_agent_to_bind() {
        let refused = refused(
            "serviceaccounts \"brokkr-runner\" is forbidden: User \"system:serviceaccount:brokkr-system:brokkr-agent\" \
             cannot impersonate resource \"serviceaccounts\" in API group \"\" in the namespace \"team-a\"",
        );
        assert_eq!(
            (refused.reason, refused.scope),
            ("Forbidden", FailureScope::Agent)
        );
        assert!(
            refused
                .message
                .contains("--verb=impersonate --resource=serviceaccounts --resource-name=brokkr-runner")
        );
        assert!(
            refused
                .message
                .ends_with("--serviceaccount=brokkr-system:brokkr-agent"),
            "{}",
            refused.message
        );
    }

    #[test]
    fn missing_permission_names_the_runner_to_bind() {
        let refused = refused(
            "buildruns.shipwright.io is forbidden: User \"system:serviceaccount:team-a:brokkr-runner\" cannot create \
             resource \"buildruns\" in API group \"shipwright.io\" in the namespace \"team-a\"",
        );
        assert!(
            refused
                .message
                .contains("--verb=create,get,patch --resource=buildruns.shipwright.io")
        );
        assert!(
            refused.message.ends_with("--serviceaccount=team-a:brokkr-runner"),
            "{}",
            refused.message
        );
        assert!(!refused.execution_started && refused.child_confirmed_ended);
    }

    #[test]
    fn a_terminating_namespace_asks_for_no_permission() {
        let refused = refused(
            "buildruns.shipwright.io \"x\" is forbidden: unable to create new content in namespace team-a \
             because it is being terminated",
        );
        assert!(!refused.message.contains("kubectl"), "{}", refused.message);
    }
}
