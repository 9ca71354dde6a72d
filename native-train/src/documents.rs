//! What the project's documents and help texts say of the command line and of its files is true.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use walkdir::WalkDir;

use crate::Cli;

/// README.md, its Korean translation, and the pages of docs/ and models/, with their texts.
fn documents() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository");
    let in_folder = |folder: &str| {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "md"))
    };
    let readmes = ["README.md", "README.ko.md"].map(|name| root.join(name));
    let paths = readmes.into_iter().chain(in_folder("docs")).chain(in_folder("models"));
    paths.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Lines between fences, those with a backslash at their end joined with the next.
fn blocks(text: &str) -> String {
    text.split("```").skip(1).step_by(2).collect::<String>().replace("\\\n", " ")
}

/// A command line's words, without what explains it: behind two spaces, or a `#`.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut quoted = false;
    let mut spaces = 2;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => spaces += 1,
            _ => {
                if spaces == 1 {
                    words.push(String::new());
                } else if spaces > 1 && !words.is_empty() {
                    break;
                } else if words.is_empty() {
                    words.push(String::new());
                }
                spaces = 0;
                words.last_mut().expect("there is one").push(c);
            }
        }
    }
    let comment = words.iter().position(|word| word == "#").unwrap_or(words.len());
    words.truncate(comment);
    words
}

#[test]
fn words_end_where_explanations_begin() {
    assert_eq!(
        words("  yolox-nano train --time-budget '2h 30m' # now"),
        ["yolox-nano", "train", "--time-budget", "2h 30m"]
    );
    assert_eq!(words("yolox-nano detect a.jpg     what is in it"), ["yolox-nano", "detect", "a.jpg"]);
}

#[test]
fn commands_of_documents_and_help_texts_can_be_given() {
    let mut texts: Vec<(String, String)> =
        documents().into_iter().map(|(path, text)| (path.display().to_string(), blocks(&text))).collect();
    for mut command in Cli::command().get_subcommands().cloned().chain([Cli::command()]) {
        texts.push((format!("help of {}", command.get_name()), command.render_long_help().to_string()));
    }
    let mut count = 0;
    for (place, text) in &texts {
        for line in text.lines().map(str::trim_start).filter(|line| line.starts_with("yolox-nano ")) {
            let mut words = words(line);
            // Output goes elsewhere.
            words.truncate(
                words.iter().position(|word| [">", "|", "&&", "2>&1"].contains(&word.as_str())).unwrap_or(words.len()),
            );
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("{place}: {line}\n{error}");
            }
            count += 1;
        }
    }
    assert!(count > 60, "{count} commands were found");
}

#[test]
fn flags_in_running_text_exist() {
    let cli = Cli::command();
    let mut count = 0;
    for (path, text) in documents() {
        for code in text.split('`').skip(1).step_by(2) {
            let Some(words) = code.strip_prefix("yolox-nano ") else { continue };
            let mut words = words.split_whitespace();
            let Some(command) = words.next().filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase())) else {
                continue;
            };
            let place = path.display();
            let command = cli.find_subcommand(command).unwrap_or_else(|| panic!("{place}: there is no `{code}`"));
            for flag in words.filter_map(|word| word.strip_prefix("--")) {
                let flag = flag.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
                let is_known = command.get_arguments().any(|argument| argument.get_long() == Some(flag));
                assert!(is_known || flag == "help", "{place}: `{code}` has a flag that there is not");
                count += 1;
            }
        }
    }
    assert!(count > 10, "{count} flags were found");
}

#[test]
fn links_lead_to_files_that_there_are() {
    let mut count = 0;
    for (path, text) in documents() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let found = path.parent().expect("a file lies in a folder").join(target);
            assert!(found.exists(), "{}: there is no {target}", path.display());
            count += 1;
        }
    }
    assert!(count > 40, "{count} links were found");
}

/// Source files that documents and comments name in backticks, by their whole path or its end.
#[test]
fn source_files_that_are_named_exist() {
    const OURS: [&str; 5] = ["shared-model", "native-train", "web-demo", "tests", "xtask"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository");
    let is_source = |name: &str| [".rs", ".cu", ".js", ".css"].iter().any(|end| name.ends_with(end));
    let files: Vec<String> = OURS
        .iter()
        .flat_map(|folder| {
            WalkDir::new(root.join(folder)).into_iter().filter_entry(|entry| entry.file_name() != "target")
        })
        .filter_map(|entry| Some(entry.ok()?.path().strip_prefix(root).ok()?.to_str()?.replace('\\', "/")))
        .filter(|name| is_source(name))
        .collect();
    let is_there = |name: &str| {
        let name = name.trim_start_matches("../");
        files.iter().any(|file| file == name || file.ends_with(&format!("/{name}")))
    };
    let mut texts = documents();
    for file in files.iter().filter(|file| file.ends_with(".rs")) {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let comments = text.lines().filter(|line| line.trim_start().starts_with("//"));
        texts.push((PathBuf::from(file), comments.collect::<Vec<_>>().join("\n")));
    }
    let mut count = 0;
    for (path, text) in texts {
        for code in text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)) {
            if !is_source(code) || code.contains([' ', '*', '<', '{']) || Path::new(code).extension().is_none() {
                continue;
            }
            assert!(is_there(code), "{}: there is no `{code}`", path.display());
            count += 1;
        }
    }
    assert!(count > 100, "{count} names were found");
}
