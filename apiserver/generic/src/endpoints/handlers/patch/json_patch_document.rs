//! A JSON patch (RFC 6902), bounded.
//!
//! A few operations can make a large or deep value out of a small one: copies double, moves nest. So what
//! is copied and moved is measured, and what is too deep is refused before it is put in its place.

use http::StatusCode;
use json_patch::PatchOperation;
use json_patch::jsonptr::Pointer;
use serde_json::Value;

use crate::endpoints::StatusError;
use crate::endpoints::decode::{BODY_BYTES_MAX, DEPTH_MAX};

/// The most operations of one patch; upstream's number.
const OPERATIONS_MAX: usize = 10_000;

/// The operations of a patch.
pub(super) struct JsonPatch(Vec<PatchOperation>);

/// How large a value is, about in bytes, and how deep.
#[derive(Clone, Copy, Default)]
struct Extent {
    bytes: usize,
    depth: usize,
}

impl JsonPatch {
    /// Reads the operations.
    pub(super) fn read(value: Value) -> Result<Self, StatusError> {
        let count = value.as_array().map_or(0, Vec::len);
        if count > OPERATIONS_MAX {
            return Err(StatusError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                format!("a JSON patch may have {OPERATIONS_MAX} operations, this one has {count}"),
            ));
        }
        serde_json::from_value(value)
            .map(Self)
            .map_err(|error| StatusError::bad_request(format!("the body is no JSON patch: {error}")))
    }

    /// Changes `document`; after an error its content is of no use.
    pub(super) fn apply(&self, document: &mut Value) -> Result<(), String> {
        let mut budget = BODY_BYTES_MAX;
        for (index, operation) in self.0.iter().enumerate() {
            if tests_absence(operation, document) {
                continue;
            }
            bound(operation, document, &mut budget).map_err(|why| format!("operation {index}: {why}"))?;
            json_patch::patch_unsafe(document, std::slice::from_ref(operation))
                .map_err(|error| format!("operation {index}: {}", error.kind))?;
        }
        Ok(())
    }
}

/// Whether the operation holds because it compares a member that is not there with null. RFC 6902 would
/// refuse it; kube-apiserver does not, and controllers that add the first finalizer count on it.
fn tests_absence(operation: &PatchOperation, document: &Value) -> bool {
    let PatchOperation::Test(test) = operation else {
        return false;
    };
    let Some((parent, member)) = test.path.split_back() else {
        return false;
    };
    let parent = document.pointer(parent.as_str()).and_then(Value::as_object);
    test.value.is_null() && parent.is_some_and(|members| !members.contains_key(member.decoded().as_ref()))
}

/// Refuses an operation that moves too much or nests too deep.
fn bound(operation: &PatchOperation, document: &Value, budget: &mut usize) -> Result<(), String> {
    let (path, value) = match operation {
        PatchOperation::Add(add) => (&add.path, extent(&add.value)),
        PatchOperation::Replace(replace) => (&replace.path, extent(&replace.value)),
        PatchOperation::Move(moved) => (&moved.path, taken(document, &moved.from, budget)?),
        PatchOperation::Copy(copied) => (&copied.path, taken(document, &copied.from, budget)?),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return Ok(()),
    };
    if path.tokens().count() + value.depth > DEPTH_MAX {
        return Err(format!(
            "the object would be nested deeper than {DEPTH_MAX} levels"
        ));
    }
    Ok(())
}

/// The extent of what is copied or moved, taken off the budget of the patch.
fn taken(document: &Value, from: &Pointer, budget: &mut usize) -> Result<Extent, String> {
    // What is not there is refused by the operation itself.
    let extent = document.pointer(from.as_str()).map(extent).unwrap_or_default();
    *budget = budget
        .checked_sub(extent.bytes)
        .ok_or_else(|| format!("the patch copies and moves more than {BODY_BYTES_MAX} bytes"))?;
    Ok(extent)
}

fn extent(value: &Value) -> Extent {
    let collect = |children: &mut dyn Iterator<Item = (usize, &Value)>| {
        children.fold(Extent { bytes: 2, depth: 1 }, |all, (name_bytes, child)| {
            let child = extent(child);
            Extent {
                bytes: all.bytes + name_bytes + child.bytes,
                depth: all.depth.max(child.depth + 1),
            }
        })
    };
    match value {
        Value::Object(fields) => collect(&mut fields.iter().map(|(name, child)| (name.len() + 4, child))),
        Value::Array(items) => collect(&mut items.iter().map(|child| (1, child))),
        Value::String(text) => Extent {
            bytes: text.len() + 2,
            depth: 0,
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => Extent { bytes: 8, depth: 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn apply(document: Value, patch: Value) -> Result<Value, String> {
        let mut document = document;
        let patch = JsonPatch::read(patch).map_err(|error| error.code().to_string())?;
        patch.apply(&mut document).map(|()| document)
    }

    #[test]
    fn operations_are_applied_in_order() {
        let patch = json!([
            {"op": "test", "path": "/a", "value": 1},
            {"op": "add", "path": "/b", "value": {"c": 2}},
            {"op": "copy", "from": "/b", "path": "/d"},
            {"op": "move", "from": "/a", "path": "/b/a"},
            {"op": "remove", "path": "/d/c"},
        ]);
        assert_eq!(
            apply(json!({"a": 1}), patch),
            Ok(json!({"b": {"a": 1, "c": 2}, "d": {}}))
        );
        let failed = apply(json!({}), json!([{"op": "test", "path": "/a", "value": 1}]));
        assert!(failed.unwrap_err().starts_with("operation 0"));
    }

    #[test]
    fn an_absent_member_equals_null_in_a_test() {
        let test = |path: &str| json!([{"op": "test", "path": path, "value": null}]);
        let document = json!({"a": {"b": 1}, "list": [1]});
        assert_eq!(apply(document.clone(), test("/a/c")), Ok(document.clone()));
        // Neither what has a value, nor below what is not there, nor in a list.
        for path in ["/a/b", "/c/d", "/list/1", ""] {
            apply(document.clone(), test(path)).unwrap_err();
        }
    }

    #[test]
    fn copies_cannot_double_without_end() {
        let copies: Vec<Value> = (0..64)
            .map(|level| json!({"op": "copy", "from": "/a", "path": format!("/a/{level}")}))
            .collect();
        let error = apply(json!({"a": {"text": "x".repeat(1000)}}), Value::Array(copies)).unwrap_err();
        assert!(error.contains("copies and moves more"), "{error}");
    }

    #[test]
    fn moves_cannot_nest_without_end() {
        let mut operations = Vec::new();
        for level in 0..50 {
            let chain = "/a".repeat(90);
            operations.push(json!({"op": "add", "path": format!("/t{level}"), "value": nested(90)}));
            if level > 0 {
                let path = format!("/t{level}{chain}/b");
                operations.push(json!({"op": "move", "from": format!("/t{}", level - 1), "path": path}));
            }
        }
        let error = apply(json!({}), Value::Array(operations)).unwrap_err();
        assert!(error.contains("nested deeper"), "{error}");
    }

    fn nested(depth: usize) -> Value {
        (0..depth).fold(json!({}), |inner, _| json!({ "a": inner }))
    }

    #[test]
    fn too_many_operations_are_refused() {
        let many = vec![json!({"op": "remove", "path": "/a"}); OPERATIONS_MAX + 1];
        assert_eq!(
            apply(json!({}), Value::Array(many)).unwrap_err(),
            "413 Payload Too Large"
        );
        assert_eq!(
            apply(json!({}), json!({"op": "remove"})).unwrap_err(),
            "400 Bad Request"
        );
    }
}
