//! Text files as editors, shells and spreadsheets write them: encodings, line ends, and characters that nobody sees.

use anyhow::{Result, anyhow};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::files::DataFile;

/// A text without a mark says that it is UTF-16 by so many zero bytes at least: a quarter of all, as half of Latin
/// letters' bytes are zero.
const ZEROS: usize = 4;

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
    let text = decode_as(bytes, Encoding::for_bom(bytes).map_or_else(|| guess(bytes), |(encoding, _)| encoding))?;
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
    if Encoding::for_bom(bytes).is_some() || guess(bytes) != UTF_8 {
        return decode(bytes);
    }
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    let declared = start.split_once("?>").and_then(|(head, _)| head.split_once("encoding=")).map(|(_, rest)| rest);
    let Some(label) = declared.and_then(|rest| rest.split(['"', '\'']).nth(1)) else { return decode_as(bytes, UTF_8) };
    let Some(encoding) = Encoding::for_label(label.as_bytes()) else {
        let message = format!("its encoding \"{label}\" is unknown: save it as UTF-8");
        return Err(TextError { line: Some(1), message });
    };
    // Whatever calls itself UTF-16 has zero bytes, and was recognised by them.
    decode_as(bytes, if encoding == UTF_16LE || encoding == UTF_16BE { UTF_8 } else { encoding })
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    let zeros = |odd: usize| bytes.iter().skip(odd).step_by(2).filter(|&&byte| byte == 0).count();
    match [zeros(0), zeros(1)] {
        [0, low] if ZEROS * low >= bytes.len() && low > 0 => UTF_16LE,
        [high, 0] if ZEROS * high >= bytes.len() && high > 0 => UTF_16BE,
        _ => UTF_8,
    }
}

fn decode_as(bytes: &[u8], encoding: &'static Encoding) -> Result<String, TextError> {
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

/// What is the same in names that differ by case, spaces or invisible characters only.
pub fn folded(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace() && !is_invisible(*c)).flat_map(char::to_lowercase).collect()
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
    fn lines_end_as_on_any_system() {
        for text in ["a\n\nb\nc", "a\r\n\r\nb\r\nc\r\n", "a\r\rb\rc\r"] {
            assert_eq!(lines(text).collect::<Vec<_>>(), ["a", "", "b", "c"], "{text:?}");
        }
        assert_eq!(lines("").count(), 0);
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
        assert_eq!(trim(" \u{feff}a b\u{200b}\t"), "a b");
        assert_eq!(shown("a b\u{a0}\u{200b}"), "a b\\u{a0}\\u{200b}");
    }
}
