//! Which classes a data set has, and in which order.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use shared_model::VOC_CLASSES;

/// Reads a list of classes: a file with one name a line, or the names themselves with commas between them.
///
/// # Errors
/// Fails where the file cannot be read, there is no name, or a name comes twice.
pub fn parse(text: &str) -> Result<Vec<String>> {
    let path = Path::new(text);
    let names = if path.is_file() {
        std::fs::read_to_string(path)
            .with_context(|| format!("the list of classes {} cannot be read", path.display()))?
    } else {
        text.replace(',', "\n")
    };
    let names: Vec<String> = names.lines().map(str::trim).filter(|name| !name.is_empty()).map(String::from).collect();
    ensure!(!names.is_empty(), "the list of classes \"{text}\" has no name: write one a line in a file, or a,b,c");
    let mut seen = BTreeSet::new();
    for name in &names {
        ensure!(seen.insert(name), "the class \"{name}\" is twice in the list of classes: remove one");
    }
    Ok(names)
}

/// The list of classes for objects of these names, which may come many times: each name once, in the order of the
/// alphabet, which is Pascal VOC's.
///
/// Where most of the names are Pascal VOC's, others are mistakes rather than classes, and stay out.
pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let names: BTreeSet<&str> = names.into_iter().collect();
    let is_voc = |name: &str| VOC_CLASSES.contains(&name);
    let mostly_voc = 2 * names.iter().filter(|name| is_voc(name)).count() > names.len();
    names.into_iter().filter(|name| !mostly_voc || is_voc(name)).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_from_a_file_or_the_command_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "cat\n\n traffic light \r\n").unwrap();
        assert_eq!(parse(file.path().to_str().unwrap()).unwrap(), ["cat", "traffic light"]);
        assert_eq!(parse("cat, traffic light,").unwrap(), ["cat", "traffic light"]);
        for (text, message) in [(" , ", "no name"), ("cat,dog,cat", "\"cat\" is twice")] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn names_in_the_data_are_the_classes() {
        assert_eq!(of_names(["dog", "cat", "dog"]), ["cat", "dog"]);
        assert_eq!(of_names(["ring", "disc"]), ["disc", "ring"]);
        assert_eq!(of_names(VOC_CLASSES.into_iter().rev()), VOC_CLASSES);
        assert!(of_names([]).is_empty());
    }

    #[test]
    fn a_stray_name_among_those_of_voc_is_no_class() {
        assert_eq!(of_names(["dog", "dgo", "cat"]), ["cat", "dog"]);
        assert_eq!(of_names(["person", "helmet"]), ["helmet", "person"], "no majority");
    }
}
