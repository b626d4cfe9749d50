//! Names of definitions and operations, as upstream forms them.

/// `com.example.shop.v1alpha1.Widget`: the group's labels reversed, version, kind.
pub(super) fn definition(group: &str, version: &str, kind: &str) -> String {
    let mut labels: Vec<&str> = group.split('.').collect();
    labels.reverse();
    format!("{}.{version}.{kind}", labels.join("."))
}

/// `shopExampleCom_v1alpha1`: under which clients file the operations.
pub(super) fn tag(group: &str, version: &str) -> String {
    let camel = camel(group);
    let mut characters = camel.chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    let group: String = first.into_iter().chain(characters).collect();
    format!("{group}_{version}")
}

/// `ShopExampleCom`: each label of a dotted or dashed name with a capital.
pub(super) fn camel(name: &str) -> String {
    name.split(['.', '-']).map(capital).collect()
}

fn capital(label: &str) -> String {
    let mut characters = label.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}
