//! How the site's files are named: `models/final.safetensors` becomes `models/final-4f1c09a2be77d310.safetensors`.
//!
//! A name that changes with the content lets browsers keep a file for ever, and a visitor can never mix an old file with a new one.

use anyhow::{Result, ensure};
use sha2::{Digest, Sha256};

/// The file whose name stays: a browser knows a service worker by its URL, where it looks for newer ones.
pub const SERVICE_WORKER: &str = "service-worker.js";

/// Hexadecimal digits of the SHA-256 that go into a name: 64 bits.
const HASH_DIGITS: usize = 16;

/// The published name of a file with this logical name and content.
///
/// Names end up in URLs, in HTML and in JavaScript; plain ones need no escaping anywhere, so others are refused.
pub fn hashed(logical: &str, content: &[u8]) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    ensure!(
        logical.chars().all(plain),
        "`{logical}`: use only letters, digits, `.`, `_` and `-` in names of published files"
    );

    let hash = hash(content);
    let file_start = logical.rfind('/').map_or(0, |slash| slash + 1);
    Ok(match logical[file_start..].rfind('.') {
        Some(dot) => {
            let (stem, extension) = logical.split_at(file_start + dot);
            format!("{stem}-{hash}{extension}")
        }
        None => format!("{logical}-{hash}"),
    })
}

/// What stands for this content in names.
pub fn hash(content: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(content)[..HASH_DIGITS / 2])
}

/// Whether `path` ends in a name that [`hashed`] made, so that its content can never change.
pub fn is_hashed(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    stem.rsplit_once('-').is_some_and(|(_, hash)| {
        hash.len() == HASH_DIGITS && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_stands_before_the_extension() {
        // echo -n abc | sha256sum
        assert_eq!(hashed("models/a.b.safetensors", b"abc").unwrap(), "models/a.b-ba7816bf8f01cfea.safetensors");
        assert_eq!(hashed("v1.0/LICENSE", b"abc").unwrap(), "v1.0/LICENSE-ba7816bf8f01cfea");
        assert_ne!(hashed("page.css", b"abc").unwrap(), hashed("page.css", b"abd").unwrap());
    }

    #[test]
    fn names_that_need_escaping_are_refused() {
        for name in ["samples/a b.jpg", "models/\u{e9}.safetensors", "a?b.js", "a\"b.js"] {
            assert!(hashed(name, b"").is_err(), "{name}");
        }
    }

    #[test]
    fn hashed_names_are_recognised() {
        for logical in ["page.js", "v1.0/LICENSE", "models/a-b.c.safetensors"] {
            assert!(!is_hashed(logical), "{logical}");
            assert!(is_hashed(&hashed(logical, b"x").unwrap()), "{logical}");
        }
        assert!(!is_hashed("index.html"));
        assert!(!is_hashed("deadbeefdeadbeef.js"));
        assert!(!is_hashed("page-DEADBEEFDEADBEEF.js"));
    }
}
