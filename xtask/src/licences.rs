//! `cargo xtask licences`: what the licences of others' code in the page and the command line ask to be handed on with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

use crate::cargo::{cargo, output, root};

/// The file, below the top level. The site has a copy, which the page's footer links.
pub const FILE: &str = "docs/licences.txt";

/// Licences whose conditions this project meets, the preferred ones first: where a crate offers several, the first of these is
/// taken. `.cargo/deny.toml` allows the same for what is not handed on, too.
const ACCEPTED: [&str; 9] =
    ["Apache-2.0", "MIT", "BSD-3-Clause", "BSD-2-Clause", "ISC", "Zlib", "IJG", "Unicode-3.0", "BSL-1.0"];

/// Of this licence one text serves all crates; the others' begin with their owners' names.
const SHARED: &str = "Apache-2.0";

/// What is handed on: package, target, and how it is called in the file.
const PROGRAMS: [(&str, &str, &str); 2] =
    [("native-train", "x86_64-unknown-linux-gnu", "command line"), ("web-demo", "wasm32-unknown-unknown", "page")];

/// A file that is shorter names another, which is not in the crate.
const SHORTEST_TEXT: usize = 200;

/// Write docs/licences.txt anew: the licences of all code of others in the page and the command line.
///
/// A test fails where the file is not what this command would write, so run it after every change of dependencies.
#[derive(clap::Args)]
pub struct Licences {}

impl Licences {
    /// Writes the file.
    pub fn run(self) -> Result<()> {
        fs::write(root().join(FILE), document()?).context(FILE)?;
        println!("{FILE} is up to date.");
        Ok(())
    }
}

/// A crate, as `cargo metadata` describes it.
#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: PathBuf,
    authors: Vec<String>,
    /// None of the workspace's own.
    source: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// The whole file.
fn document() -> Result<String> {
    let notice = fs::read_to_string(root().join("NOTICE")).context("NOTICE")?;
    let apache = fs::read_to_string(root().join("LICENSE")).context("LICENSE")?;
    let mut list = String::new();
    // Text -> whose it is: many crates share one.
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (package, programs) in shipped()? {
        let name = format!("{} {}", package.name, package.version);
        let licences = chosen(&package).with_context(|| name.clone())?;
        list += &format!("{name}: {} ({})\n", licences.join(" and "), programs.join(", "));
        for text in texts_of(&package, &licences)? {
            texts.entry(text).or_default().insert(name.clone());
        }
    }
    let mut by_owner: Vec<(BTreeSet<String>, String)> =
        texts.into_iter().map(|(text, owners)| (owners, text)).collect();
    by_owner.sort();
    let texts: String = by_owner
        .iter()
        .map(|(owners, text)| {
            let owners: Vec<&str> = owners.iter().map(String::as_str).collect();
            format!("{}\n{}\n\n{}\n\n", "=".repeat(80), owners.join(", "), text.trim_end())
        })
        .collect();
    Ok(format!(
        "{notice}\n\
         The page and the command line contain Rust's standard library (Copyright The Rust Project Developers, MIT or\n\
         Apache-2.0; https://www.rust-lang.org/policies/licenses) and the crates below, each under the licence named. Where\n\
         the owners offer several, it is the one under which it is used here. The texts follow: first of Apache-2.0, which\n\
         all under it share, then the others with their owners' names. Written by `cargo xtask licences`.\n\n\
         {list}\n{line}\n{SHARED}\n\n{apache}\n{texts}",
        line = "=".repeat(80),
    ))
}

/// The crates of others that are compiled into a program, each with the programs.
fn shipped() -> Result<Vec<(Package, Vec<&'static str>)>> {
    let mut all = BTreeMap::new();
    for (package, target, program) in PROGRAMS {
        let mut tree = cargo();
        // Procedural macros and build scripts stay with the compiler.
        tree.args(["tree", "--locked", "--package", package, "--target", target, "--edges", "normal,no-proc-macro"]);
        tree.args(["--prefix", "none", "--format", "{p}"]);
        let names: BTreeSet<_> = output(&mut tree)?.lines().filter_map(name_and_version).collect();
        let mut metadata = cargo();
        metadata.args(["metadata", "--locked", "--format-version", "1", "--filter-platform", target]);
        let metadata: Metadata = serde_json::from_str(&output(&mut metadata)?)?;
        for package in metadata.packages.into_iter().filter(|package| package.source.is_some()) {
            let key = (package.name.clone(), package.version.clone());
            if names.contains(&key) {
                all.entry(key).or_insert_with(|| (package, Vec::new())).1.push(program);
            }
        }
    }
    Ok(all.into_values().collect())
}

/// What `cargo tree` prints of a crate begins with its name and its version: `anyhow v1.0.105`.
fn name_and_version(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
}

/// The licences under which a crate is used.
fn chosen(package: &Package) -> Result<Vec<String>> {
    let expression = package.license.as_deref().context("it names no licence")?;
    // Older crates have a slash where today's have `OR`.
    let parsed =
        Expression::parse_mode(expression, ParseMode::LAX).map_err(|error| anyhow!("{expression}: {error}"))?;
    let accepted = ACCEPTED.map(|name| Licensee::parse(name).expect("a name of SPDX's"));
    let needed = parsed.minimized_requirements(&accepted).map_err(|error| anyhow!("{expression}: {error}"))?;
    Ok(needed.iter().map(ToString::to_string).collect())
}

/// The texts that go with a crate, but for the one that all share.
fn texts_of(package: &Package, licences: &[String]) -> Result<Vec<String>> {
    let folder = package.manifest_path.parent().context("a manifest is in a folder")?;
    // A notice is handed on under any licence; Apache-2.0 demands it.
    let mut texts = files(folder, |name| name.starts_with("NOTICE"))?;
    let own: Vec<&str> = licences.iter().map(String::as_str).filter(|licence| *licence != SHARED).collect();
    if own.is_empty() {
        return Ok(texts);
    }
    // Files of licences that the crate offers, too, but that are not used here.
    let is_other = |name: &str| {
        name.contains("APACHE") || name.contains("UNLICENSE") || (name.contains("MIT") && !own.contains(&"MIT"))
    };
    let is_text = |name: &str| ["LICEN", "COPYING", "COPYRIGHT"].iter().any(|start| name.starts_with(start));
    let mut found = files(folder, |name| is_text(name) && !is_other(name))?;
    // libjpeg's sources have their own.
    let vendored = folder.join("vendor");
    if vendored.is_dir() {
        found.extend(files(&vendored, |name| is_text(name) || name == "README.IJG")?);
    }
    if found.is_empty() {
        for licence in own {
            let id = spdx::license_id(licence).with_context(|| format!("{licence} is none of SPDX's"))?;
            let authors = if package.authors.is_empty() { "its authors".into() } else { package.authors.join(", ") };
            found.push(format!("{}: Copyright {authors}\n\n{}", package.name, id.text()));
        }
    }
    texts.append(&mut found);
    Ok(texts)
}

/// The files of a folder whose name, in capital letters, is one of those, in the order of their names.
fn files(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.path().is_file() && is_wanted(&entry.file_name().to_string_lossy().to_uppercase()) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    let mut texts = Vec::new();
    for path in paths {
        let text = fs::read(&path).with_context(|| path.display().to_string())?;
        if text.len() >= SHORTEST_TEXT {
            // Lines end alike on all systems, and none in spaces.
            let text = String::from_utf8_lossy(&text);
            texts.push(text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"));
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(license: &str) -> Package {
        Package {
            name: "a".into(),
            version: "1.0.0".into(),
            license: Some(license.into()),
            manifest_path: PathBuf::new(),
            authors: vec![],
            source: None,
        }
    }

    #[test]
    fn the_file_names_every_dependency_with_an_accepted_licence() {
        let current = fs::read_to_string(root().join(FILE)).unwrap();
        // Not `assert_eq`, which would print both.
        assert!(current == document().unwrap(), "{FILE} is not up to date: run `cargo xtask licences`");
    }

    #[test]
    fn of_several_licences_the_preferred_one_is_taken() {
        assert_eq!(chosen(&package("MIT/Apache-2.0")).unwrap(), ["Apache-2.0"]);
        assert_eq!(chosen(&package("Unlicense OR MIT")).unwrap(), ["MIT"]);
        let both = chosen(&package("(Apache-2.0 OR MIT) AND BSD-3-Clause")).unwrap();
        assert_eq!(both, ["Apache-2.0", "BSD-3-Clause"]);
        for refused in ["GPL-3.0-only", "MIT AND GPL-2.0-only", "LGPL-2.1-or-later", "no licence at all"] {
            assert!(chosen(&package(refused)).is_err(), "{refused}");
        }
    }
}
