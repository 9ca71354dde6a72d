//! The npm package of `cargo xtask npm`, in plain pages and behind a bundler.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use integration_tests::browser::drive;
use integration_tests::repository;
use serde::Deserialize;
use serde_json::{Value, json};
use xtask::server::Server;

use crate::accessibility::{report, violations};
use crate::browser::{can_run, downloaded_weights};
use crate::objects::{Object, found_with, same_within};
use crate::page::Page;
use crate::photo::sample;

/// How far scores may differ where both decode the same pixels.
const SCORE: f64 = 1e-3;

/// The module as a plain page has it.
const PLAIN: &str = r#"<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Test</title>
<main><h1>Test</h1></main><script type="module">
import { load } from "./package/index.js";
globalThis.load = load;
</script>"#;

/// The folder of the package.
pub fn package() -> PathBuf {
    env::var_os("YOLOX_NPM").map_or_else(|| repository().join("npm-package"), PathBuf::from)
}

/// Whether there is a package, and a browser to try it in.
pub fn has_package() -> bool {
    can_run(|| {
        let package = package();
        ensure!(package.join("index.js").is_file(), "there is no package in {package:?}: run `cargo xtask npm`");
        Ok(())
    })
}

/// Runs a test on a folder of files, beside which a server has weights (`a.safetensors` and `b.safetensors`) and a picture (`photo.png`, and
/// `photo.jpg`).
pub fn embed(folder: &Path, test: impl AsyncFnOnce(&Page) -> Result<()>) {
    let result = drive(async |driver| {
        let server = Server::start(folder, 0)?;
        // Never from the browser's cache, which would keep the headers that isolate it.
        server.put("index.html", fs::read(folder.join("index.html"))?);
        server.put("favicon.ico", vec![]);
        for (name, model) in [("a", "final-voc"), ("b", "baseline-voc")] {
            server.put(&format!("{name}.safetensors"), fs::read(downloaded_weights(model)?)?);
        }
        server.put("photo.jpg", fs::read(sample("chelsea"))?);
        server.put("photo.png", fs::read(picture(&tempfile::tempdir()?)?)?);
        let page = Page::new(driver, server);
        test(&page).await?;
        page.check_console().await
    });
    if let Err(error) = result {
        panic!("{error:#}");
    }
}

/// Runs a test on a plain page that has the package beside it, in `package/`.
fn embed_plainly(test: impl AsyncFnOnce(&Page) -> Result<()>) {
    if !has_package() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("package")).unwrap();
    for entry in fs::read_dir(package()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join("package").join(entry.file_name())).unwrap();
    }
    fs::write(folder.path().join("index.html"), PLAIN).unwrap();
    embed(folder.path(), test);
}

/// The cat as every decoder reads it.
fn picture(folder: &tempfile::TempDir) -> Result<PathBuf> {
    let file = folder.path().join("photo.png");
    image::open(sample("chelsea"))?.to_rgb8().save(&file)?;
    Ok(file)
}

/// What a script of the page, the body of an asynchronous function, gives; the message if it fails.
async fn give(page: &Page, script: &str) -> Result<Value> {
    page.wait_for("return Boolean(globalThis.load)", vec![]).await?;
    let script = format!("return (async () => {{ {script} }})().catch(error => `${{error.name}}: ${{error.message}}`)");
    page.script(&script, vec![]).await
}

/// A box of the module's.
#[derive(Deserialize)]
struct DetectedBox {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    score: f64,
    label: String,
}

/// Fails unless these boxes are what the command line finds in the cat.
pub fn are_the_command_lines(boxes: &Value, model: &str) -> Result<()> {
    let boxes: Vec<DetectedBox> = serde_json::from_value(boxes.clone()).with_context(|| boxes.to_string())?;
    let objects = boxes.into_iter().map(|DetectedBox { x, y, width, height, score, label }| Object {
        class: label,
        score,
        corners: [x, y, x + width, y + height],
    });
    let objects: Vec<Object> = objects.collect();
    ensure!(!objects.is_empty(), "nothing is found");
    same_within(SCORE, &objects, &found_with(model, &picture(&tempfile::tempdir()?)?)?, 0.3)
}

#[test]
#[ignore = "needs the package and a browser: cargo xtask test"]
fn a_plain_page_finds_what_the_command_line_finds_with_threads_and_without() {
    embed_plainly(async |page| {
        for is_isolated in [true, false] {
            page.server.isolate(is_isolated);
            page.visit_at("").await?;
            let found = give(
                page,
                "const detector = await load('a.safetensors');
                const { boxes, milliseconds, width, height } = await detector.detect('photo.png');
                const { variant, inputSize, parameters, classes } = detector;
                return { boxes, milliseconds, width, height, variant, inputSize, parameters, classes: classes.length, crossOriginIsolated };",
            )
            .await?;
            are_the_command_lines(&found["boxes"], "final-voc")?;
            println!("isolated: {is_isolated}, {} ms", found["milliseconds"]);
            ensure!(found["crossOriginIsolated"] == is_isolated && found["classes"] == 20 && found["inputSize"] == 416);
            ensure!(
                found["variant"] == "final" && (&found["width"], &found["height"]) == (&json!(451), &json!(300)),
                "{found}"
            );
            let builds = page.server.requested();
            let build = if is_isolated { "threads" } else { "relaxed" };
            ensure!(builds.iter().any(|path| path.contains(&format!("worker-{build}.wasm.gz"))), "{builds:?}");
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs the package and a browser: cargo xtask test"]
fn whatever_holds_the_picture_gives_the_same_boxes() {
    embed_plainly(async |page| {
        page.visit_at("").await?;
        let found = give(
            page,
            "const weights = await (await fetch('a.safetensors')).arrayBuffer();
            const detector = await load(weights, { threads: 1 });
            const blob = await (await fetch('photo.png')).blob();
            const image = Object.assign(new Image(), { src: 'photo.png' });
            const bitmap = await createImageBitmap(blob);
            const canvas = Object.assign(document.createElement('canvas'), { width: bitmap.width, height: bitmap.height });
            canvas.getContext('2d').drawImage(bitmap, 0, 0);
            const data = canvas.getContext('2d').getImageData(0, 0, bitmap.width, bitmap.height);
            const offscreen = new OffscreenCanvas(bitmap.width, bitmap.height);
            offscreen.getContext('2d').drawImage(bitmap, 0, 0);
            const pictures = [blob, new URL('photo.png', location), image, bitmap, bitmap, canvas, data, offscreen];
            return (await Promise.all(pictures.map(picture => detector.detect(picture)))).map(({ boxes }) => boxes);",
        )
        .await?;
        for boxes in found.as_array().with_context(|| found.to_string())? {
            are_the_command_lines(boxes, "final-voc")?;
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs the package and a browser: cargo xtask test"]
fn what_goes_wrong_is_a_sentence_and_the_detector_lives_on() {
    embed_plainly(async |page| {
        page.expect_error("404");
        page.server.put("cut.safetensors", fs::read(downloaded_weights("final-voc")?)?[..1000].to_vec());
        page.server.put("web.safetensors", b"<!doctype html>".to_vec());
        page.server.put("broken.jpg", b"no picture".to_vec());
        page.visit_at("").await?;
        for (script, sentence) in [
            ("await load('cut.safetensors')", "no complete .safetensors file"),
            ("await load('none.safetensors')", "The server answered 404 to the weight file"),
            ("await load('web.safetensors')", "a web page instead of the weight file"),
            ("await load('https://localhost:59999/a.safetensors')", "Access-Control-Allow-Origin"),
            ("await load('a.safetensors', { sha256: '0'.repeat(64) })", "its SHA-256 is"),
            ("await load('a.safetensors', { sha256: 'abc' })", "64 hexadecimal digits"),
            ("await load('a.safetensors', { inputSize: 100 })", "multiple of 32"),
            ("await load('a.safetensors', { signal: AbortSignal.abort() })", "AbortError"),
            ("await load(7)", "Weights are a URL, a Blob or an ArrayBuffer"),
            ("await detector.detect('broken.jpg')", "cannot decode the picture"),
            ("await detector.detect('none.jpg')", "The server answered 404 to the picture"),
            ("await detector.detect(document.createElement('video'))", "no frame yet"),
            ("await detector.detect(new Image())", "no picture that this browser can decode"),
            ("await detector.detect(7)", "A picture is a Blob"),
            ("await detector.detect('photo.png', { minScore: 30 })", "minScore is a number from 0 to 1"),
        ] {
            page.expect_error("ERR_CONNECTION_REFUSED");
            let said = give(page, &format!("globalThis.detector ??= await load('a.safetensors'); {script}")).await?;
            let said = said.as_str().with_context(|| format!("{script} succeeds"))?;
            ensure!(said.contains(sentence), "{script}: {said}");
        }
        let boxes = give(page, "return (await detector.detect('photo.png')).boxes").await?;
        are_the_command_lines(&boxes, "final-voc")?;
        let closed = give(page, "detector.close(); await detector.detect('photo.png')").await?;
        ensure!(closed == "Error: The detector is closed.", "{closed}");
        Ok(())
    });
}

#[test]
#[ignore = "needs the package and a browser: cargo xtask test"]
fn after_a_death_the_next_call_has_another_worker() {
    embed_plainly(async |page| {
        page.script_at_start(
            "globalThis.workers = 0;
            globalThis.Worker = class extends Worker { constructor(...args) { super(...args); workers += 1; } };",
        )
        .await?;
        for is_isolated in [true, false] {
            page.server.isolate(is_isolated);
            page.visit_at("").await?;
            // No memory has room for an input of this size: a panic, and the end of the program.
            let found = give(
                page,
                "const detector = await load('a.safetensors');
                const huge = await load('a.safetensors', { inputSize: 32 * 4000 });
                const calls = [huge.detect('photo.png'), detector.detect('photo.png')];
                const [pending, next] = await Promise.allSettled(calls);
                return { pending: pending.reason.message, boxes: next.value.boxes, workers };",
            )
            .await?;
            ensure!(found["workers"] == 2, "{found}");
            ensure!(found["pending"].as_str().is_some_and(|why| why.contains("has died (panicked at")), "{found}");
            are_the_command_lines(&found["boxes"], "final-voc")?;
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs the package and a browser: cargo xtask test"]
fn the_element_shows_two_models_and_what_they_find_in_words() {
    embed_plainly(async |page| {
        let policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; img-src blob:";
        let html = format!(
            r#"<!doctype html><html lang="en"><meta http-equiv="Content-Security-Policy" content="{policy}">
            <meta name="viewport" content="width=device-width"><title>Test</title>
            <script type="module" src="./package/element.js"></script>
            <main><h1>Test</h1><yolox-compare models="a.safetensors, b.safetensors" src="photo.png" alt="A cat"></yolox-compare></main>"#
        );
        page.server.put("index.html", html.into_bytes());
        page.script_at_start("addEventListener('compare', ({ detail }) => globalThis.results = detail.results, true)")
            .await?;
        for width in [360, 1600] {
            page.turn_to_screen(width, 800).await?;
            page.visit_at("").await?;
            page.wait_for("return Boolean(globalThis.results)", vec![]).await?;
            let results = page.script("return results", vec![]).await?;
            are_the_command_lines(&results[0]["boxes"], "final-voc")?;
            are_the_command_lines(&results[1]["boxes"], "baseline-voc")?;
            let seen = page
                .script(
                    "const root = document.querySelector('yolox-compare').shadowRoot;
                    const figures = Array.from(root.querySelectorAll('figure'));
                    return {
                        labels: figures.map(figure => figure.ariaLabel),
                        painted: figures.every(figure => {
                            const { width, height } = figure.querySelector('canvas');
                            const pixels = figure.querySelector('canvas').getContext('2d').getImageData(0, 0, width, height).data;
                            return pixels.some(value => value);
                        }),
                        beside: figures[0].getBoundingClientRect().top === figures[1].getBoundingClientRect().top,
                        overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
                    };",
                    vec![],
                )
                .await?;
            ensure!(seen["painted"] == true && seen["overflow"] == 0 && seen["beside"] == (width == 1600), "{seen}");
            ensure!(
                seen["labels"][0].as_str().is_some_and(|label| label.starts_with("A cat. a, 1 object: cat 0.")),
                "{seen}"
            );
            let violations = violations(page).await?;
            ensure!(violations.is_empty(), "axe-core finds:\n{}", report(&violations));
        }
        // Attributes are live.
        let change = "delete globalThis.results;
            const element = document.querySelector('yolox-compare');
            element.setAttribute('models', 'none.safetensors, a.safetensors');
            element.setAttribute('src', 'photo.jpg')";
        page.expect_error("404");
        page.script(change, vec![]).await?;
        page.wait_for("return Boolean(globalThis.results)", vec![]).await?;
        let said = page.script("return document.querySelector('yolox-compare').shadowRoot.textContent", vec![]).await?;
        let said = said.as_str().unwrap_or_default();
        ensure!(said.contains("The server answered 404 to the weight file") && said.contains("cat 0."), "{said}");
        Ok(())
    });
}

#[test]
#[ignore = "needs the package and a browser: cargo xtask test"]
fn the_elements_colours_are_the_pages() {
    embed_plainly(async |page| {
        page.visit_at("").await?;
        let script = "const { classColour } = await import('./package/panel.js');
            return Array.from({ length: 80 }, (_, index) => {
                document.body.style.color = classColour(index);
                return getComputedStyle(document.body).color;
            });";
        let colours: Vec<String> = serde_json::from_value(give(page, script).await?)?;
        for (class, colour) in colours.iter().enumerate() {
            let numbers = colour.trim_start_matches("rgb(").trim_end_matches(')').split(", ");
            let numbers: Vec<i32> = numbers.map(str::parse).collect::<Result<_, _>>()?;
            let expected = shared_model::Colour::of_class(class).bytes();
            let is_near = numbers.iter().zip(expected).all(|(&a, b)| (a - i32::from(b)).abs() <= 1);
            ensure!(numbers.len() == 3 && is_near, "class {class}: {colour}, not {expected:?}");
        }
        Ok(())
    });
}
