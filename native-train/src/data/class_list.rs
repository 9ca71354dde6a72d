//! Which classes a data set has, and in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, anyhow, bail, ensure};
use shared_model::VOC_CLASSES;
use shared_model::annotations::{FormatError, class_names};

use super::files::DataFile;
use super::text::{self, folded, shown, trim, unquoted};

/// The classes, and where they are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassList {
    /// Their names, in the order of the network's outputs.
    pub names: Vec<String>,
    /// Where they are from.
    pub origin: Origin,
}

/// Where a list of classes is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Somebody gave it.
    Given,
    /// All names that occur, or that data sets list.
    Occurring,
    /// Of the names that occur, those of Pascal VOC, as most are.
    MostlyVoc,
}

/// Reads a list of classes: a file with one name a line, or the names themselves with commas between them. A name that has
/// a comma in it needs a file.
///
/// # Errors
/// Fails where the file cannot be read or is no text, there is no name, or two names look the same; it names the line.
pub fn parse(list: &str) -> Result<Vec<String>> {
    let path = Path::new(list);
    let names: Vec<String> = if path.is_file() {
        read(path)?
    } else {
        let looks_like_a_file =
            list.contains(['/', '\\']) || path.extension().is_some_and(|e| e == "txt" || e == "names");
        ensure!(!looks_like_a_file, "there is no file {list} with a list of classes: mend its name, or write a,b,c");
        let names: Vec<String> =
            list.split(',').map(trim).filter(|name| !name.is_empty()).map(|name| unquoted(name).into()).collect();
        let is_in_doubt = |name: &String| name.contains(['"', ';']) || name.starts_with(['\'', '[']);
        if let Some(name) = names.iter().find(|name| is_in_doubt(name)) {
            bail!(
                "\"{name}\" is hardly a class: write --classes a,b,c; names with commas or quotes need a file, one a line"
            );
        }
        names
    };
    ensure!(!names.is_empty(), "the list of classes \"{list}\" has no name: write one a line in a file, or a,b,c");
    check(&names)?;
    Ok(names)
}

fn read(path: &Path) -> Result<Vec<String>> {
    let name = path.display();
    let text = text::read(&DataFile::on_disk(path))?;
    let names = class_names(&text).map_err(|FormatError { line, kind }| match line {
        Some(line) => anyhow!("{name}:{line}: {kind}"),
        None => anyhow!("{name}: {kind}"),
    })?;
    Ok(names.into_iter().map(|(_, name)| name.to_string()).collect())
}

/// Checks a list of classes.
///
/// # Errors
/// Fails where two names are the same but for case, spaces or invisible characters.
pub fn check(names: &[String]) -> Result<()> {
    let mut seen = BTreeMap::new();
    for name in names {
        match seen.insert(folded(name), name) {
            Some(other) if other == name => {
                bail!("the class \"{}\" is twice in the list of classes: remove one", shown(name))
            }
            Some(other) => bail!(
                "the classes \"{}\" and \"{}\" differ only by case, spaces, invisible characters or ways to write the same \
                 letter: remove one",
                shown(other),
                shown(name)
            ),
            None => {}
        }
    }
    Ok(())
}

/// The list of classes for objects of these names, which may come many times: each name once, in the order of the
/// alphabet, which is Pascal VOC's.
///
/// Where most of the names are Pascal VOC's, others are mistakes rather than classes, and stay out.
pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> ClassList {
    let names: BTreeSet<&str> = names.into_iter().collect();
    let is_voc = |name: &str| VOC_CLASSES.contains(&name);
    let of_voc = names.iter().filter(|name| is_voc(name)).count();
    let origin = if 2 * of_voc > names.len() && of_voc < names.len() { Origin::MostlyVoc } else { Origin::Occurring };
    let names =
        names.into_iter().filter(|name| origin == Origin::Occurring || is_voc(name)).map(String::from).collect();
    ClassList { names, origin }
}

/// The name among `known` that was probably meant by `name`.
pub fn closest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let same = known.iter().find(|other| folded(other) == folded(name));
    let near = || {
        let distance = |other: &&String| strsim::osa_distance(&folded(name), &folded(other));
        let nearest = known.iter().min_by_key(distance)?;
        // One mistake in a short name, two in a longer one.
        (distance(&nearest) <= 1 + name.chars().count() / 8 && name.chars().count() > 2).then_some(nearest)
    };
    same.or_else(near).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_from_a_file_or_the_command_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "cat\n\n traffic light, red \r\n'hot dog'\n";
        let utf16: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        for bytes in
            [text.as_bytes(), &[b"\xef\xbb\xbf", text.as_bytes()].concat(), &utf16, text.replace('\n', "\r").as_bytes()]
        {
            std::fs::write(file.path(), bytes).unwrap();
            assert_eq!(parse(file.path().to_str().unwrap()).unwrap(), ["cat", "traffic light, red", "hot dog"]);
        }
        assert_eq!(parse("cat, 'traffic light',").unwrap(), ["cat", "traffic light"]);
        for (text, message) in [
            (" , ", "no name"),
            ("cat,dog,cat", "\"cat\" is twice"),
            ("cat,Cat", "differ only by case"),
            ("traffic light,trafficlight", "differ only by case, spaces"),
            ("caf\u{e9},cafe\u{301}", "differ only by case"),
            ("classes.txt", "there is no file classes.txt"),
            ("\"vehicle, car\",dog", "\"\"vehicle\" is hardly a class"),
            ("box;disc", "\"box;disc\" is hardly a class"),
            ("[box,disc]", "need a file"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        for (text, message) in [
            (&b"cat\nb\xe4r\n"[..], ":2: the text is not in UTF-8"),
            (b"cat\n\n# dogs\ndog", ":3: A line that begins with #"),
            ("cat\ndo\u{200b}g".as_bytes(), ":2: The class \"do\\u{200b}g\""),
            (b"cat\tdog", ":1: The class \"cat\\u{9}dog\""),
            (b"\n \n", "is empty"),
            (b"cat, dog\n", ":1: All names seem to be in one line"),
            (b"0: cat\n1: dog\n", "begin with numbers"),
        ] {
            std::fs::write(file.path(), text).unwrap();
            let error = parse(file.path().to_str().unwrap()).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn names_in_the_data_are_the_classes() {
        assert_eq!(of_names(["dog", "cat", "dog"]).names, ["cat", "dog"]);
        assert_eq!(of_names(["ring", "disc"]).names, ["disc", "ring"]);
        let voc = ClassList { names: VOC_CLASSES.map(String::from).to_vec(), origin: Origin::Occurring };
        assert_eq!(of_names(VOC_CLASSES.into_iter().rev()), voc);
        assert!(of_names([]).names.is_empty());
    }

    #[test]
    fn a_stray_name_among_those_of_voc_is_no_class() {
        let list = of_names(["dog", "dgo", "cat"]);
        assert_eq!((list.names, list.origin), (vec!["cat".into(), "dog".into()], Origin::MostlyVoc));
        assert_eq!(of_names(["person", "helmet"]).names, ["helmet", "person"], "no majority");
    }

    #[test]
    fn the_name_that_was_meant_is_found() {
        let known = ["disc", "dog", "traffic light"].map(String::from);
        for (name, meant) in [
            ("Disc", Some("disc")),
            ("dgo", Some("dog")),
            ("trafic ligth", Some("traffic light")),
            ("cat", None),
            ("helmet", None),
        ] {
            assert_eq!(closest(name, &known), meant, "{name}");
        }
    }
}
