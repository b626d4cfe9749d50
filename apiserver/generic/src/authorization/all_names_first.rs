//! One review for all names where there would be one for each.
//!
//! Where each request is about another object, no answer is ever asked for again. Whoever may create a
//! subresource of every object may create that of each: this is so where permissions are only ever added up, as
//! RBAC does, but for a rule that lists the empty name. A server whose hub runs an authorizer that denies single
//! names leaves this out.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Attributes, AuthorizationError, Authorizer, Decision};
use crate::authentication::UserInfo;

/// Asks whether a subresource may be created for all names, and about the name alone when not.
pub struct AllNamesFirst {
    inner: Arc<dyn Authorizer>,
    resources: &'static [&'static str],
}

impl AllNamesFirst {
    /// Asks `inner`, in this way about subresources of these resources: those whose roles do not list names, since
    /// who may for one name alone is asked about twice.
    #[must_use]
    pub fn of(inner: Arc<dyn Authorizer>, resources: &'static [&'static str]) -> Self {
        Self { inner, resources }
    }

    /// The same question about all names, if it is one of those that come with ever new names.
    fn all_names(&self, attributes: &Attributes) -> Option<Attributes> {
        let mut all = attributes.clone();
        match &mut all {
            Attributes::Resource {
                verb,
                resource,
                subresource,
                name,
                ..
            } if verb == "create"
                && !subresource.is_empty()
                && !name.is_empty()
                && self.resources.contains(&resource.as_str()) =>
            {
                name.clear();
            }
            _ => return None,
        }
        Some(all)
    }
}

impl fmt::Debug for AllNamesFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllNamesFirst").finish_non_exhaustive()
    }
}

#[async_trait]
impl Authorizer for AllNamesFirst {
    async fn authorize(
        &self,
        user: &UserInfo,
        attributes: &Attributes,
    ) -> Result<Decision, AuthorizationError> {
        if let Some(all) = self.all_names(attributes)
            && let Ok(Decision::Allow) = self.inner.authorize(user, &all).await
        {
            return Ok(Decision::Allow);
        }
        self.inner.authorize(user, attributes).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Allows one name, or all with the empty one, and remembers what it was asked.
    struct Allowing {
        name: &'static str,
        asked: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Authorizer for Allowing {
        async fn authorize(&self, _: &UserInfo, asked: &Attributes) -> Result<Decision, AuthorizationError> {
            let Attributes::Resource { name, .. } = asked else {
                return Ok(Decision::Deny(String::new()));
            };
            self.asked.lock().unwrap().push(name.clone());
            let allowed = self.name.is_empty() || self.name == name;
            Ok(if allowed {
                Decision::Allow
            } else {
                Decision::Deny(format!("{name:?} is not allowed"))
            })
        }
    }

    fn question(verb: &str, subresource: &str, name: &str) -> Attributes {
        Attributes::Resource {
            verb: verb.to_owned(),
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            resource: "deployments".to_owned(),
            subresource: subresource.to_owned(),
            namespace: "n".to_owned(),
            name: name.to_owned(),
        }
    }

    fn of_another_resource() -> Attributes {
        let mut other = question("create", "eviction", "a");
        if let Attributes::Resource { resource, .. } = &mut other {
            "pods".clone_into(resource);
        }
        other
    }

    async fn asked(allowed: &'static str, question: Attributes) -> (Decision, Vec<String>) {
        let inner = Arc::new(Allowing {
            name: allowed,
            asked: Mutex::default(),
        });
        let authorizer = AllNamesFirst::of(Arc::clone(&inner) as Arc<dyn Authorizer>, &["deployments"]);
        let decision = authorizer.authorize(&UserInfo::default(), &question).await;
        let asked = inner.asked.lock().unwrap().clone();
        (decision.unwrap(), asked)
    }

    #[tokio::test]
    async fn one_answer_covers_every_name() {
        let (decision, asked) = asked("", question("create", "scale", "a")).await;
        assert_eq!((decision, asked), (Decision::Allow, vec![String::new()]));
    }

    #[tokio::test]
    async fn who_may_for_one_name_is_asked_about_by_name() {
        let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
        let (decision, questions) = asked("a", question("create", "scale", "a")).await;
        assert_eq!((decision, questions), (Decision::Allow, names(["", "a"])));
        let (decision, _) = asked("a", question("create", "scale", "b")).await;
        assert_eq!(decision, Decision::Deny("\"b\" is not allowed".to_owned()));
    }

    #[tokio::test]
    async fn nothing_else_is_asked_twice() {
        for question in [
            question("get", "scale", "a"),
            question("create", "", "a"),
            question("create", "scale", ""),
            of_another_resource(),
        ] {
            assert_eq!(asked("b", question).await.1.len(), 1);
        }
    }
}
