//! Lists of classes: text files with a name a line.

use std::collections::HashSet;

use super::error::{FormatError, FormatErrorKind};
use super::text::{is_invisible, lines, shown, trim, unquoted};

/// The names in a list of classes, one a line, each with its line, from 1. Lines without a name are passed over, and quotes
/// around a name are taken off.
///
/// # Errors
/// Fails where there is no name, or what should be a name is something else.
pub fn class_names(text: &str) -> Result<Vec<(usize, &str)>, FormatError> {
    let given: Vec<(usize, &str)> = lines(text).map(trim).enumerate().map(|(i, line)| (i + 1, line)).collect();
    let given: Vec<_> = given.into_iter().filter(|(_, line)| !line.is_empty()).collect();
    if let [(line, only)] = given[..]
        && unquoted(only) == only
        && (only.contains([',', ';']) || only.starts_with('['))
    {
        return Err(FormatErrorKind::ClassesInOneLine.at(line));
    }
    let first = given.first().ok_or(FormatErrorKind::NoClasses)?.0;
    if is_numbered(given.iter().map(|(_, line)| *line)) {
        return Err(FormatErrorKind::NumberedClasses.at(first));
    }
    let name = |(line, text)| {
        let name = unquoted(text);
        if name.starts_with('#') {
            return Err(FormatErrorKind::CommentedClass.at(line));
        }
        match name.chars().find(|c| is_invisible(*c)) {
            Some(hidden) => Err(FormatErrorKind::HiddenInClass { name: shown(name), code: u32::from(hidden) }.at(line)),
            None => Ok((line, name)),
        }
    };
    given.into_iter().map(name).collect()
}

/// A list of classes whose places are their numbers, as YOLO's files have them.
///
/// # Errors
/// As for [`class_names`], and where a line between names has none, or a name comes twice.
pub fn class_list(text: &str) -> Result<Vec<String>, FormatError> {
    let (mut names, mut seen) = (Vec::new(), HashSet::new());
    for (i, (line, name)) in class_names(text)?.into_iter().enumerate() {
        if line != i + 1 {
            return Err(FormatErrorKind::NamelessClass.at(i + 1));
        }
        if !seen.insert(name) {
            return Err(FormatErrorKind::ClassTwice(shown(name)).at(line));
        }
        names.push(name.into());
    }
    Ok(names)
}

/// Whether lines count themselves: `0: cat`, `1: dog`, or, where the first is 0, without colons.
fn is_numbered<'a>(lines: impl Iterator<Item = &'a str> + Clone) -> bool {
    let numbered_from = |first: usize, colon: bool| {
        lines.clone().enumerate().all(|(i, line)| {
            let rest = line.strip_prefix(&(first + i).to_string());
            let rest =
                rest.and_then(|rest| if colon { rest.strip_prefix(':') } else { rest.strip_prefix([' ', '\t']) });
            rest.is_some_and(|name| !trim(name).is_empty())
        })
    };
    numbered_from(0, true) || numbered_from(1, true) || numbered_from(0, false)
}

#[cfg(test)]
mod tests {
    use FormatErrorKind::*;

    use super::*;

    #[test]
    fn names_are_read_however_lines_end() {
        for text in
            ["cat\ntraffic light\n", "cat\r\ntraffic light\r\n\r\n", "cat\rtraffic light", " 'cat' \n\"traffic light\""]
        {
            assert_eq!(class_list(text).unwrap(), ["cat", "traffic light"], "{text:?}");
        }
        assert_eq!(class_list("'red, amber'\n").unwrap(), ["red, amber"]);
        assert_eq!(class_list("0\n1\n2").unwrap(), ["0", "1", "2"], "digits are names, too");
        assert_eq!(class_list("1 euro\n2 euro").unwrap(), ["1 euro", "2 euro"]);
        assert_eq!(class_names("\ncat\n\ndog").unwrap(), [(2, "cat"), (4, "dog")]);
    }

    #[test]
    fn what_is_no_list_of_names_is_refused_with_its_line() {
        for (text, line, kind) in [
            (" \n", None, NoClasses),
            ("cat\n\ndog", Some(2), NamelessClass),
            ("\ncat", Some(1), NamelessClass),
            ("# mine\ncat\ndog", Some(1), CommentedClass),
            ("cat\nd\u{200b}og", Some(2), HiddenInClass { name: "d\\u{200b}og".into(), code: 0x200b }),
            ("cat\ndog\ncat", Some(3), ClassTwice("cat".into())),
            ("0: cat\n1: dog", Some(1), NumberedClasses),
            ("1:cat\n2:dog", Some(1), NumberedClasses),
            ("0 cat\n1 dog", Some(1), NumberedClasses),
            ("cat, dog", Some(1), ClassesInOneLine),
            ("cat;dog\n", Some(1), ClassesInOneLine),
            ("[\"cat\", \"dog\"]", Some(1), ClassesInOneLine),
            ("names: [cat, dog]", Some(1), ClassesInOneLine),
        ] {
            assert_eq!(class_list(text), Err(FormatError { line, kind }), "{text:?}");
        }
    }
}
