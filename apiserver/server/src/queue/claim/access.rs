//! Whether a user may claim in a namespace: the one review that the queue asks for.

use brokkr_apis::GROUP;
use brokkr_apis::work::v1alpha1::VERSION;
use generic_apiserver::authentication::UserInfo;
use generic_apiserver::authorization::{Attributes, AuthorizationError, Authorizer, Decision};

/// Whether the user may create `workorders/claim` in the namespace; empty = in all of them.
///
/// # Errors
/// When nobody could decide.
pub(crate) async fn may_claim(
    authorizer: &dyn Authorizer,
    user: &UserInfo,
    namespace: &str,
) -> Result<bool, AuthorizationError> {
    let attributes = Attributes::Resource {
        verb: "create".to_owned(),
        group: GROUP.to_owned(),
        version: VERSION.to_owned(),
        resource: "workorders".to_owned(),
        subresource: "claim".to_owned(),
        namespace: namespace.to_owned(),
        name: String::new(),
    };
    Ok(authorizer.authorize(user, &attributes).await? == Decision::Allow)
}
