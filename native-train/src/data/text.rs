//! Text files as editors, shells and spreadsheets write them: encodings, line ends, and characters that nobody sees.

use anyhow::{Result, anyhow};
use encoding_rs::Encoding;

use shared_model::annotations::text::encoding;
pub use shared_model::annotations::text::{is_invisible, lines, shown, trim, unquoted};
use unicode_normalization::UnicodeNormalization;

use super::files::DataFile;

/// What is wrong with a text file, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TextError {
    /// From 1, where it is in a line.
    pub line: Option<usize>,
    /// One sentence.
    pub message: String,
}

/// The text of a file: see [`decode`].
///
/// # Errors
/// As for [`decode`], and where it cannot be read, naming the file.
pub fn read(file: &DataFile) -> Result<String> {
    let name = file.path().display();
    let bytes = file.read().map_err(|error| anyhow!("{name} cannot be read ({error})"))?;
    decode(&bytes).map_err(|error| match error.line {
        Some(line) => anyhow!("{name}:{line}: {error}"),
        None => anyhow!("{name}: {error}"),
    })
}

/// The text in `bytes`, without a byte order mark: UTF-8, or UTF-16 with a mark or with the zero bytes that give it away.
///
/// # Errors
/// Fails where it is in another encoding, which cannot be told for sure, or has control characters in it, naming the line.
pub fn decode(bytes: &[u8]) -> Result<String, TextError> {
    if bytes.starts_with(&[0xff, 0xfe, 0, 0]) || bytes.starts_with(&[0, 0, 0xfe, 0xff]) {
        return Err(TextError { line: None, message: "the text is in UTF-32: save it as UTF-8".into() });
    }
    let text = decode_as(bytes, &encoding(bytes, false))?;
    // DOS ends texts with this.
    let text = text.strip_suffix('\u{1a}').map(String::from).unwrap_or(text);
    let control = |(_, c): &(usize, char)| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    match text.char_indices().find(control) {
        Some((place, c)) => Err(TextError {
            line: Some(line_at(&text, place)),
            message: format!("a character U+{:04X} is in it, which no text has: write the line anew", u32::from(c)),
        }),
        None => Ok(text),
    }
}

/// The text of an XML file, whose first line may name its encoding.
///
/// # Errors
/// Fails where it is not in that encoding, or in an unknown one.
pub fn decode_xml(bytes: &[u8]) -> Result<String, TextError> {
    match encoding(bytes, true) {
        utf if utf.starts_with("utf-") => decode(bytes),
        declared => decode_as(bytes, &declared),
    }
}

fn decode_as(bytes: &[u8], label: &str) -> Result<String, TextError> {
    let Some(encoding) = Encoding::for_label(label.as_bytes()) else {
        let message = format!("its encoding \"{label}\" is unknown: save it as UTF-8");
        return Err(TextError { line: Some(1), message });
    };
    let (text, had_errors) = encoding.decode_with_bom_removal(bytes);
    if !had_errors {
        return Ok(text.into_owned());
    }
    let before = text.find('\u{fffd}').unwrap_or(text.len());
    let line = line_at(&text, before);
    let message = format!("the text is not in {}: save it as UTF-8", encoding.name());
    Err(TextError { line: Some(line), message })
}

/// The number of the line, from 1, that the character at byte `place` is in.
fn line_at(text: &str, place: usize) -> usize {
    // What stands in its place begins the line, if nothing before it does.
    lines(&format!("{}.", &text[..place])).count()
}

/// What is the same in names that differ only by case, spaces, invisible characters, or the way in which the same letters are
/// written (`é` as one character or as two, wide letters).
pub fn folded(name: &str) -> String {
    let letters = name.nfkc().filter(|c| !c.is_whitespace() && !is_invisible(*c));
    // Some letters have no single capital: `ß` and `ss` are the same.
    letters.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect::<String>().nfkc().collect()
}

/// A name as most systems write it: of letters that may be one character or several, one. macOS writes several.
pub fn composed(name: &str) -> String {
    name.nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn every_common_encoding_is_read() {
        let text = "000001\r\nbär\r\n";
        let [little, big] = [u16::to_le_bytes, u16::to_be_bytes].map(|bytes| utf16(text, bytes));
        let marked = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
        for (what, bytes) in [
            ("UTF-8", text.as_bytes().to_vec()),
            ("UTF-8 with a mark", marked(b"\xef\xbb\xbf", text.as_bytes())),
            ("UTF-16 LE", marked(b"\xff\xfe", &little)),
            ("UTF-16 BE", marked(b"\xfe\xff", &big)),
            ("UTF-16 LE without a mark", little.clone()),
            ("UTF-16 BE without a mark", big.clone()),
            ("an end of DOS", marked(text.as_bytes(), b"\x1a")),
        ] {
            assert_eq!(decode(&bytes).as_deref(), Ok(text), "{what}");
        }
    }

    #[test]
    fn others_are_refused_with_their_line() {
        let little = utf16("a\nb\n", u16::to_le_bytes);
        for (what, bytes, line, part) in [
            ("Latin-1", &b"a\nb\xe4r\n"[..], Some(2), "save it as UTF-8"),
            ("UTF-32", b"\xff\xfe\0\0a\0\0\0", None, "UTF-32"),
            ("a zero", b"a\nb\nc\0\nd\n", Some(3), "U+0000"),
            ("an escape", b"\x1b[0ma\n", Some(1), "U+001B"),
            ("two bytes", "a\n\u{85}b".as_bytes(), Some(2), "U+0085"),
            ("half a unit", &[b"\xff\xfe", &little[..5]].concat(), Some(2), "UTF-16"),
        ] {
            let error = decode(bytes).expect_err(what);
            assert!(error.line == line && error.message.contains(part), "{what}: {error:?}");
        }
    }

    #[test]
    fn xml_says_its_encoding() {
        let xml = b"<?xml version='1.0' encoding='ISO-8859-1'?><name>b\xe4r</name>";
        assert!(decode_xml(xml).unwrap().ends_with("<name>b\u{e4}r</name>"));
        assert!(decode_xml(b"<name>b\xe4r</name>").unwrap_err().message.contains("UTF-8"));
        let unknown = decode_xml(b"<?xml version=\"1.0\" encoding=\"klingon\"?><a/>").unwrap_err();
        assert!(unknown.message.contains("\"klingon\" is unknown"));
        let text = "<?xml version=\"1.0\" encoding=\"utf-16\"?><a/>";
        assert_eq!(decode_xml(&utf16(text, u16::to_le_bytes)).as_deref(), Ok(text));
        assert_eq!(decode_xml(text.as_bytes()).as_deref(), Ok(text), "it says so, but is not");
    }

    #[test]
    fn names_that_look_the_same_are_the_same() {
        for name in
            ["Traffic Light", "traffic\u{a0}light", "traffic light\u{200b}", "trafficlight", "\u{feff}traffic light"]
        {
            assert_eq!(folded(name), "trafficlight", "{name:?}");
        }
        for [one, other] in [
            ["caf\u{e9}", "cafe\u{301}"],
            ["\u{b3fc}\u{c9c0}", "\u{1103}\u{116b}\u{110c}\u{1175}"],
            ["\u{ff44}\u{ff4f}\u{ff47}", "dog"],
            ["stra\u{df}e", "STRASSE"],
        ] {
            assert_eq!(folded(one), folded(other), "{one:?}");
        }
        assert_eq!(composed("cafe\u{301}"), "caf\u{e9}");
    }
}
