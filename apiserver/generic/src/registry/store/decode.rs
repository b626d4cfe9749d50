//! Reads bodies as a type does and says which fields the type does not know.

use serde_ignored::Path;
use serde_json::Value;

use crate::object::{Kind, Object};
use crate::registry::rest::{Decoded, KindSchema};

/// Reads a body as `V` and turns it into the `K` that is stored; what `V` does not know is dropped and
/// named.
pub(super) fn decode<V: Kind + Into<K>, K: Kind>(body: &Value) -> Result<Decoded, serde_json::Error> {
    let mut unknown_fields = Vec::new();
    let typed: V = serde_ignored::deserialize(body, |path| unknown_fields.push(field_path(&path)))
        .map_err(|error| located::<V>(body).unwrap_or(error))?;
    Ok(Decoded {
        object: Object::from_typed::<K>(&typed.into())?,
        unknown_fields,
    })
}

/// Why the body is no `K`, with the path of the field at fault: read once more, because only what goes
/// wrong is worth keeping count of where one is.
fn located<K: Kind>(body: &Value) -> Option<serde_json::Error> {
    let error = serde_path_to_error::deserialize::<_, K>(body).err()?;
    Some(serde::de::Error::custom(error))
}

/// A path in the words of field errors: `spec.targets[0].x`.
fn field_path(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", field_path(parent)),
        Path::Map { parent, key } => match field_path(parent).as_str() {
            "" => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            field_path(parent)
        }
    }
}

/// The schema of `K` as schemars writes it.
pub(super) fn schema<K: Kind>() -> KindSchema {
    schemars::schema_for!(K).to_value()
}
