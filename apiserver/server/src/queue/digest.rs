//! Digests: of what must be the same to count as the same.

use ring::digest::{SHA256, digest};

/// The SHA-256 of a text, in hex.
pub(crate) fn sha256_hex(text: &str) -> String {
    digest(&SHA256, text.as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A uid that depends on the text alone, for objects made inside a pure decision.
pub(crate) fn uid_from(text: &str) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest(&SHA256, text.as_bytes()).as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::{sha256_hex, uid_from};

    #[test]
    fn digest_is_the_known_one() {
        assert_eq!(
            sha256_hex("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn uid_depends_on_the_text_alone() {
        assert_eq!(uid_from("a"), uid_from("a"));
        assert_ne!(uid_from("a"), uid_from("b"));
    }
}
