//! The npm package in the hands of npm, a bundler and a checker of types.

use std::fs;
use std::io::{Write as _, stderr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::npm::{are_the_command_lines, embed, has_package, package};

/// Bytes of the folder, at most.
const LIMIT: u64 = 1_000_000;

/// Of these releases, so that a test does not fail when others come out.
const TOOLS: [&str; 2] = ["vite@8.3.8", "typescript@5.9.3"];

/// Somebody's page.
const INDEX: &str =
    r#"<!doctype html><html lang="en"><title>Test</title><script type="module" src="./main.ts"></script>"#;

/// What it does with the package, with all types that it has.
const MAIN: &str = r#"import { load, type DetectedBox, type Detector } from "yolox-nano-web";
import "yolox-nano-web/element";

async function find(url: string, image: Blob | HTMLVideoElement | string): Promise<readonly DetectedBox[]> {
  const detector: Detector = await load(url, { threads: 2, signal: AbortSignal.timeout(60_000) });
  const { boxes, milliseconds } = await detector.detect(image, { minScore: 0.3, iou: 0.45 });
  const sure: string[] = boxes.filter(({ score }) => score > 0.5).map(({ label, x, y, width, height }) => `${label} ${x} ${y} ${width} ${height}`);
  console.log(sure, milliseconds.toFixed(1), detector.classes.length, detector.gflops);
  detector.close();
  return boxes;
}

const element = document.createElement("yolox-compare");
element.addEventListener("compare", ({ detail }) => {
  for (const result of detail.results) console.log("error" in result ? result.error.message : result.boxes.length);
});
// @ts-expect-error: thresholds are numbers
const wrong = (detector: Detector) => detector.detect("photo.jpg", { minScore: "0.3" });
Object.assign(globalThis, { find, wrong });
"#;

const SETTINGS: &str = r#"{ "compilerOptions": { "target": "ES2022", "module": "ESNext", "moduleResolution": "bundler", "strict": true,
    "lib": ["ES2022", "DOM", "DOM.Iterable"], "types": [], "noEmit": true }, "files": ["main.ts"] }"#;

/// What npm says; `None`, said loudly, where there is no npm or it fails.
fn npm(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("npm").args(arguments).current_dir(folder).output();
    let why = match output {
        Ok(output) if output.status.success() => return Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    // Not `eprintln`, whose lines are shown of tests that fail only.
    let _ = writeln!(stderr(), "SKIPPED: the package with npm: npm {} fails: {why}", arguments.join(" "));
    None
}

fn run(folder: &Path, tool: &str, arguments: &[&str]) -> Result<()> {
    let program = folder.join("node_modules/.bin").join(tool);
    let output =
        Command::new(&program).args(arguments).current_dir(folder).output().context("a tool that npm has installed")?;
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{tool}: {said}{errors}");
    Ok(())
}

#[test]
#[ignore = "needs the package: cargo xtask test"]
fn the_package_is_small_and_npm_packs_all_of_it() {
    if !has_package() {
        return;
    }
    let mut names = Vec::new();
    let mut bytes = 0;
    for entry in fs::read_dir(package()).unwrap() {
        let entry = entry.unwrap();
        names.push(entry.file_name().to_string_lossy().into_owned());
        bytes += entry.metadata().unwrap().len();
    }
    assert!(bytes < LIMIT, "{bytes} bytes");
    let Some(said) = npm(&package(), &["pack", "--dry-run", "--json"]) else { return };
    let said: Value = serde_json::from_str(&said).unwrap();
    // A list in some releases of npm, a map by the package's name in others.
    let package = said.get(0).or_else(|| said.get("yolox-nano-web")).unwrap_or_else(|| panic!("{said}"));
    let mut packed: Vec<_> =
        package["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect();
    packed.sort();
    names.sort();
    assert_eq!(packed, names);
}

#[test]
#[ignore = "needs the package and a browser: cargo xtask test"]
fn a_bundled_page_is_typed_and_finds_what_the_command_line_finds() {
    if !has_package() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("package.json"), r#"{ "private": true, "type": "module" }"#).unwrap();
    fs::write(path.join("index.html"), INDEX).unwrap();
    fs::write(path.join("main.ts"), MAIN).unwrap();
    fs::write(path.join("tsconfig.json"), SETTINGS).unwrap();
    let package = package().canonicalize().unwrap();
    // A copy, as from the registry: a link would lead out of `node_modules`.
    let install = ["install", "--install-links", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"];
    let arguments = [&install[..], &TOOLS, &[package.to_str().unwrap()]].concat();
    if npm(path, &arguments).is_none() {
        return;
    }
    run(path, "tsc", &["--noEmit"]).unwrap();
    run(path, "vite", &["build", "--base", "./", "--logLevel", "warn"]).unwrap();
    embed(&path.join("dist"), async |page| {
        for is_isolated in [true, false] {
            page.server.isolate(is_isolated);
            page.visit_at("").await?;
            page.wait_for("return Boolean(globalThis.find)", vec![]).await?;
            let find = "return find('a.safetensors', 'photo.png').catch(error => error.message)";
            are_the_command_lines(&page.script(find, vec![]).await?, "final-voc")?;
        }
        let requested = page.server.requested();
        for build in ["threads", "relaxed"] {
            let is_wasm = |path: &&String| {
                path.contains(&format!("worker-{build}.wasm")) || path.contains(&format!("worker-{build}-"))
            };
            ensure!(requested.iter().any(|path| is_wasm(&path)), "{build} is not used: {requested:?}");
        }
        Ok(())
    });
}
