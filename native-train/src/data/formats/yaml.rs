//! Ultralytics' `data.yaml` (<https://docs.ultralytics.com/datasets/detect/>): the classes, and where each split's images are.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::yaml_node::Node;
use crate::data::{DataFile, text};

/// The keys that ultralytics knows splits by, and one that people take for one of them.
const SPLITS: [&str; 5] = ["train", "val", "valid", "test", "minival"];

/// Keys with texts that are no splits.
const OTHERS: [&str; 2] = ["path", "names"];

/// What a `data.yaml` says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DataYaml {
    /// The folder that paths start from.
    pub(super) root: PathBuf,
    /// Names of the classes, in the order of their numbers.
    pub(super) names: Vec<String>,
    /// The splits, each with the places of its images: folders, or lists of files.
    pub(super) splits: Vec<(String, Vec<String>)>,
}

impl DataYaml {
    /// Reads the file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = text::read(&DataFile::on_disk(path))?;
        Self::parse(&text, path.parent().unwrap_or(Path::new(""))).with_context(|| path.display().to_string())
    }

    /// Reads the text of a file in `folder`.
    fn parse(text: &str, folder: &Path) -> Result<Self> {
        let yaml = Node::parse(text)?.context("the file is empty: write names, train and val into it")?;
        let names = yaml.get("names").context(
            "there is no list \"names\": write the classes' names in the order of their numbers, as in names: [cat, dog]",
        )?;
        let line = names.line;
        let names = names_in(names)?;
        if let Some(count) = yaml.get("nc").and_then(Node::text) {
            ensure!(
                count.parse() == Ok(names.len()),
                "line {line}: there are {} names, but nc is {count}: mend one of them",
                names.len()
            );
        }
        // As ultralytics does, but for its settings' folder of data sets, which others do not have.
        let root = match yaml.get("path").and_then(Node::text) {
            Some(path) if folder.join(path).is_dir() => folder.join(path),
            Some(path) if Path::new(path).is_dir() => path.into(),
            _ => folder.into(),
        };
        let mut splits = Vec::new();
        for (key, value) in yaml.map().into_iter().flatten() {
            let Some(split) = key.text().filter(|key| !OTHERS.contains(key)) else { continue };
            // Other keys are splits if they name a folder or a list.
            let is_place = |place: &str| !place.is_empty() && root.join(place).exists();
            if !SPLITS.contains(&split) && !value.text().is_some_and(is_place) {
                continue;
            }
            let places = match (value.text(), value.list()) {
                (Some("" | "~" | "null"), _) => continue,
                (Some(path), _) => vec![path.to_string()],
                (None, list) => {
                    let places = list.and_then(|list| list.iter().map(|path| path.text().map(String::from)).collect());
                    let line = value.line;
                    places.with_context(|| {
                        format!("line {line}: {split} is no path, and no list of paths: name the folder of its images")
                    })?
                }
            };
            // Each is searched through: a list may have a place a hundred thousand times.
            if let Some(place) = first_again(&places) {
                bail!("line {}: {split} names {place} twice: remove one", value.line);
            }
            if !places.is_empty() {
                splits.push((if split == "valid" { "val" } else { split }.into(), places));
            }
        }
        Ok(Self { root, names, splits })
    }

    /// Where a place is: below the root; Roboflow's go up a folder too many, so that without it they are.
    pub(super) fn place(&self, place: &str) -> PathBuf {
        let path = self.root.join(place);
        match place.strip_prefix("../") {
            Some(rest) if !path.exists() => self.root.join(rest),
            _ => path,
        }
    }
}

/// Names as a list, or by their numbers.
fn names_in(names: &Node) -> Result<Vec<String>> {
    let line = names.line;
    let found: Vec<String> = match (names.list(), names.map()) {
        (Some(list), _) => list.iter().map(name).collect::<Result<_>>()?,
        (_, Some(map)) => {
            let mut numbered = Vec::new();
            for (key, value) in map {
                let number = key.text().and_then(|key| key.parse::<usize>().ok());
                let line = key.line;
                let number = number.with_context(|| {
                    format!("line {line}: a key of \"names\" is no number: write 0: cat, 1: dog and so on")
                })?;
                numbered.push((number, name(value)?));
            }
            numbered.sort();
            if let Some(missing) = (0..numbered.len()).find(|i| numbered[*i].0 != *i) {
                bail!("line {line}: class {missing} has no name, or two: \"names\" must have all numbers from 0, once");
            }
            numbered.into_iter().map(|(_, name)| name).collect()
        }
        _ => bail!("line {line}: \"names\" is neither a list of names nor a map from numbers to names"),
    };
    ensure!(
        !found.is_empty(),
        "line {line}: \"names\" is empty: write the classes' names in the order of their numbers"
    );
    if let Some(name) = first_again(&found) {
        bail!("line {line}: the class \"{name}\" is twice in \"names\": remove one");
    }
    Ok(found)
}

/// The first text that was there before.
fn first_again(texts: &[String]) -> Option<&String> {
    let mut seen = HashSet::new();
    texts.iter().find(|text| !seen.insert(text.as_str()))
}

fn name(value: &Node) -> Result<String> {
    let name = value.text().map(str::trim).filter(|name| !name.is_empty());
    name.map(String::from).with_context(|| format!("line {}: a class has no name: fill it in", value.line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DataYaml> {
        DataYaml::parse(text, Path::new("set"))
    }

    #[test]
    fn names_are_a_list_or_a_map() {
        for names in [
            "names: [cat, traffic light, 8] # three",
            "names:\n- cat\n- 'traffic light'\n- 8",
            "names:\n  1: traffic light\n  0: cat\n  2: 8",
        ] {
            let yaml = parse(&format!("# a set\ntrain: images/train\nval: [images/a, b.txt]\ntest:\nnc: 3\n{names}\n"))
                .unwrap();
            assert_eq!(yaml.names, ["cat", "traffic light", "8"], "{names}");
            let splits = [
                ("train".to_string(), vec!["images/train".to_string()]),
                ("val".into(), vec!["images/a".into(), "b.txt".into()]),
            ];
            assert_eq!(yaml.splits, splits);
            assert_eq!(yaml.root, Path::new("set"));
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_a_remedy() {
        for (text, message) in [
            ("train: a", "no list \"names\""),
            ("names: []", "is empty"),
            ("names: [a, a]", "twice"),
            ("names: {0: a, 2: b}", "class 1 has no name"),
            ("names: {a: b}", "is no number"),
            ("names: 3", "neither a list"),
            ("names: [a]\nnc: 2", "line 1: there are 1 names, but nc is 2"),
            ("names: [a]\ntrain: {a: b}", "line 2: train is no path"),
            ("names: [a]\nval: [images/b, images/a, images/b]", "line 2: val names images/b twice"),
            ("names: &x [a]\ntrain: *x", "line 2: references"),
            ("names: [a", "no YAML"),
            ("", "empty"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn paths_that_go_up_too_far_are_roboflows() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("train/images")).unwrap();
        let yaml = DataYaml::parse("names: [a]\ntrain: ../train/images", folder.path()).unwrap();
        assert!(yaml.place(&yaml.splits[0].1[0]).is_dir());
    }
}
