//! Lines and names in text files as editors, shells and spreadsheets write them.

/// A text without a mark says that it is UTF-16 by so many zero bytes at least: a quarter of all, as half of Latin
/// letters' bytes are zero.
const ZEROS: usize = 4;

/// Bytes in which an XML file declares its encoding.
const DECLARATION: usize = 200;

/// What encoding `bytes` are in, by its name in the web's list (<https://encoding.spec.whatwg.org/#names-and-labels>), or
/// whatever else an XML file calls it: by a byte order mark, the zero bytes that give UTF-16 away, or, if `is_xml`, by what
/// the file declares; else UTF-8.
pub fn encoding(bytes: &[u8], is_xml: bool) -> String {
    let zeros = |odd: usize| bytes.iter().skip(odd).step_by(2).filter(|&&byte| byte == 0).count();
    match bytes {
        [0xef, 0xbb, 0xbf, ..] => return "utf-8".into(),
        [0xff, 0xfe, ..] => return "utf-16le".into(),
        [0xfe, 0xff, ..] => return "utf-16be".into(),
        _ => {}
    }
    match [zeros(0), zeros(1)] {
        [0, low] if ZEROS * low >= bytes.len() && low > 0 => return "utf-16le".into(),
        [high, 0] if ZEROS * high >= bytes.len() && high > 0 => return "utf-16be".into(),
        _ => {}
    }
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(DECLARATION)]);
    let declared = start.split_once("?>").and_then(|(head, _)| head.split_once("encoding=")).map(|(_, rest)| rest);
    match declared.and_then(|rest| rest.split(['"', '\'']).nth(1)) {
        // Whatever calls itself UTF-16 has zero bytes, and was recognised by them.
        Some(label) if is_xml && !label.to_ascii_lowercase().starts_with("utf-16") => label.into(),
        _ => "utf-8".into(),
    }
}

/// The lines of a text, which may end as on any system: LF, CR LF or CR.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(['\n', '\r'])
        .scan("", |last, part| {
            let whole = std::mem::replace(last, part);
            // What is left of a CR LF.
            let rest = part == "\n" && whole.ends_with('\r');
            Some((!rest).then(|| part.trim_end_matches(['\n', '\r'])))
        })
        .flatten()
}

/// Whether a character takes no room where it is shown: two names that differ by it look the same.
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
        || c.is_control()
}

/// Without spaces and invisible characters at either end.
pub fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || is_invisible(c))
}

/// Without the quotes that shells put around names with spaces.
pub fn unquoted(text: &str) -> &str {
    let inside = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    inside('\'').or_else(|| inside('"')).unwrap_or(text)
}

/// A name with escapes for what cannot be told from a space or from nothing, such as `disc\u{200b}`.
pub fn shown(name: &str) -> String {
    let hidden = |c: char| is_invisible(c) || (c.is_whitespace() && c != ' ');
    name.chars().fold(String::new(), |mut text, c| {
        match hidden(c) {
            true => text.extend(c.escape_unicode()),
            false => text.push(c),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_on_any_system() {
        for text in ["a\n\nb\nc", "a\r\n\r\nb\r\nc\r\n", "a\r\rb\rc\r"] {
            assert_eq!(lines(text).collect::<Vec<_>>(), ["a", "", "b", "c"], "{text:?}");
        }
        assert_eq!(lines("").count(), 0);
    }

    #[test]
    fn encodings_are_told_by_marks_zeros_and_declarations() {
        let utf16 = |bytes: fn(u16) -> [u8; 2]| "cat\n".encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        let declared = b"<?xml version='1.0' encoding='EUC-KR'?><a/>";
        for (bytes, is_xml, expected) in [
            (&b"cat"[..], true, "utf-8"),
            (b"\xef\xbb\xbfcat", true, "utf-8"),
            (b"\xff\xfec\0", false, "utf-16le"),
            (&utf16(u16::to_le_bytes), false, "utf-16le"),
            (&utf16(u16::to_be_bytes), true, "utf-16be"),
            (declared, true, "EUC-KR"),
            (declared, false, "utf-8"),
            (b"<?xml version=\"1.0\" encoding=\"UTF-16\"?><a/>", true, "utf-8"),
            (b"", true, "utf-8"),
        ] {
            assert_eq!(encoding(bytes, is_xml), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_nobody_sees_is_taken_off_and_shown() {
        assert_eq!(trim(" \u{feff}a b\u{200b}\t"), "a b");
        assert_eq!(shown("a b\u{a0}\u{200b}"), "a b\\u{a0}\\u{200b}");
        assert_eq!([unquoted("'a b'"), unquoted("\"a\""), unquoted("'a\"")], ["a b", "a", "'a\""]);
    }
}
