//! What a browser may refuse or take away: memory, threads, workers, room on the disk, the visitor's attention. A sentence each, and
//! nothing lost that the visitor had. docs/faults.md has all scenes, of other files of these tests, too.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use image::RgbImage;
use serde_json::json;
use wasmparser::{Operator, Parser, Payload};
use xtask::server::Fault;

use crate::browser::{browse, published, site};
use crate::builds::has_threads;
use crate::page::Page;
use crate::worker::KEEP_WORKERS;

/// Instructions on vectors that make a function a kernel.
const KERNEL: usize = 20;
const VECTOR_PREFIX: u8 = 0xfd;

/// Has the server publish another text for a script: `part` of it replaced, and something in front of it.
pub fn change_script(page: &Page, logical: &str, before: &str, part: &str, other: &str) -> Result<()> {
    let name = published(logical)?;
    let script = fs::read_to_string(site().join(&name))?;
    ensure!(script.contains(part), "{logical} has no `{part}` any more");
    page.server.put(&name, format!("{before}\n{}", script.replace(part, other)).into_bytes());
    Ok(())
}

/// The program with a trap at the beginning of every kernel: whoever computes, dies.
fn without_kernels(program: &[u8]) -> Result<Vec<u8>> {
    const TRAP: [u8; 2] = [0x00, 0x01];
    let (mut changed, mut kernels) = (program.to_vec(), 0);
    for payload in Parser::new(0).parse_all(program) {
        let Payload::CodeSectionEntry(body) = payload? else { continue };
        let operators = body.get_operators_reader()?.into_iter_with_offsets().collect::<Result<Vec<_>, _>>()?;
        let vectors = operators.iter().filter(|(_, at)| program[*at] == VECTOR_PREFIX).count();
        // Two bytes give way to two others; behind a trap the rest of a function is never looked at.
        if let Some((Operator::LocalGet { .. } | Operator::GlobalGet { .. }, at)) = operators.first()
            && vectors >= KERNEL
            && program[at + 1] < 0x80
        {
            changed[*at..at + 2].copy_from_slice(&TRAP);
            kernels += 1;
        }
    }
    ensure!(kernels > 10, "only {kernels} kernels found");
    Ok(changed)
}

/// One of three threads dies as soon as it computes; the page has to notice, and goes on with the picture on request.
async fn survives_the_death_of(page: &Page, thread: usize) -> Result<()> {
    let broken = without_kernels(&fs::read(site().join(published("worker-threads.wasm")?))?)?;
    page.server.put("broken.wasm", broken);
    let load = format!(
        "const broken = await WebAssembly.compile(await (await fetch('{}broken.wasm')).arrayBuffer());",
        page.server.url()
    );
    let (part, other) = match thread {
        0 => ("default({ module_or_path: module })", "default({ module_or_path: broken })".to_owned()),
        _ => {
            ("{ bindings, module,", format!("{{ bindings, module: other === others[{}] ? broken : module,", thread - 1))
        }
    };
    change_script(page, "worker.js", &load, part, &other)?;
    page.expect_error("unreachable");
    page.visit_at("?threads=3#v=baseline-coco&s=coffee").await?;
    let notice = page.wait_for_message("notice").await;
    let message = notice.with_context(|| format!("the death of thread {thread} goes unnoticed"))?;
    ensure!(message.contains("crashed") && message.contains("replaced"), "{message}");
    // Whoever dies while networks are prepared, before there is a picture, is replaced without a question.
    if page.shows("retry").await? {
        ensure!(message.contains("on this picture"), "{message}");
        page.click("retry").await?;
    }
    page.wait_for_boxes("coffee.jpg").await?;
    ensure!(!page.objects().await?.is_empty());
    ensure!(page.text("build").await?.starts_with("1 thread "));
    Ok(())
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_trap_in_any_thread_is_noticed() {
    for thread in 0..3 {
        browse(async |page| if has_threads() { survives_the_death_of(page, thread).await } else { Ok(()) });
    }
}

/// Lets a minute of the page's watch pass in two seconds.
const FAST_WATCH: &str = "const setInterval = globalThis.setInterval;
    globalThis.setInterval = (task, time, ...rest) => setInterval(task, time / 30, ...rest);";

/// From now on the worker hears nothing, as one that waits for ever.
const DEAFEN: &str = "globalThis.workers.at(-1).postMessage = () => {}";

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_worker_that_falls_silent_is_replaced() {
    browse(async |page| {
        page.script_at_start(KEEP_WORKERS).await?;
        page.script_at_start(FAST_WATCH).await?;
        page.open().await?;
        page.wait_for_times().await?;
        page.script(DEAFEN, vec![]).await?;
        page.pick_sample("chelsea").await?;
        let message = page.wait_for_message("retry").await?;
        ensure!(message.contains("Try again"), "{message}");
        let message = page.text("notice").await?;
        ensure!(message.contains("has not answered for a minute on this picture"), "{message}");
        page.click("retry").await?;
        page.wait_for_boxes("chelsea.jpg").await?;
        ensure!(page.objects().await?[0].class == "cat");
        Ok(())
    });
}

/// Makes the worker's program obey [`REFUSE_MEMORY`].
const OBEY: &str = "let memory;
    for (const name of ['instantiate', 'instantiateStreaming']) {
        const now = WebAssembly[name].bind(WebAssembly);
        WebAssembly[name] = async (...options) => {
            const made = await now(...options);
            memory = (made.instance ?? made).exports.memory;
            return made;
        };
    }
    addEventListener('message', event => {
        if (event.data !== 'refuse memory') return;
        event.stopImmediatePropagation();
        memory.grow(65536 - memory.buffer.byteLength / 65536);
    });";
/// From now on the worker gets no more memory: it has all that WebAssembly allows.
const REFUSE_MEMORY: &str = "globalThis.workers.at(-1).postMessage('refuse memory')";

/// Opens the page with a worker that can be refused memory.
async fn open_obedient(page: &Page) -> Result<()> {
    change_script(page, "worker.js", OBEY, "run()", "run()")?;
    page.script_at_start(KEEP_WORKERS).await?;
    page.open_with("?build=relaxed").await?;
    page.wait_for_times().await
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn memory_refused_to_a_picture_leaves_the_one_before() {
    browse(async |page| {
        open_obedient(page).await?;
        page.script(REFUSE_MEMORY, vec![]).await?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("large.png");
        RgbImage::new(6000, 4000).save(&file)?;
        page.upload(&[&file]).await?;
        let message = page.wait_for_message("notice").await?;
        ensure!(message.contains("not enough memory for 6000 \u{d7} 4000 pixels"), "{message}");
        ensure!(page.text("caption").await?.contains("coffee"), "the picture before is gone");
        ensure!(!page.objects().await?.is_empty(), "its boxes are gone");
        // The same worker goes on.
        page.pick_sample("chelsea").await?;
        page.wait_for_boxes("chelsea.jpg").await?;
        ensure!(page.script("return globalThis.workers.length", vec![]).await? == json!(1));
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn memory_refused_to_a_network_costs_a_worker_and_nothing_else() {
    browse(async |page| {
        open_obedient(page).await?;
        page.expect_error("unreachable");
        page.script(REFUSE_MEMORY, vec![]).await?;
        page.choose("add", 0, "baseline-voc").await?;
        let message = page.wait_for_message("notice").await?;
        ensure!(message.contains("ran out of memory") && message.contains("replaced"), "{message}");
        page.wait_for_boxes("coffee.jpg").await?;
        ensure!(!page.objects_of(0).await?.is_empty());
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_browser_that_allows_no_worker_is_told_of() {
    browse(async |page| {
        let denied = "globalThis.Worker = class { constructor() { throw new DOMException('no', 'SecurityError') } }";
        page.script_at_start(denied).await?;
        page.visit().await?;
        for _ in 0..2 {
            let message = page.wait_for_message("failure").await?;
            ensure!(message.contains("allows the page no worker"), "{message}");
            page.click("retry").await?;
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_browser_that_allows_no_service_worker_is_no_matter() {
    browse(async |page| {
        let denied = "if (navigator.serviceWorker) navigator.serviceWorker.register = () => {
            globalThis.refused = true;
            return Promise.reject(new DOMException('no', 'SecurityError'));
        }";
        page.script_at_start(denied).await?;
        page.open().await?;
        page.wait_for("return globalThis.refused === true", vec![]).await.context("nobody asks")?;
        ensure!(!page.shows("notice").await? && !page.objects().await?.is_empty());
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_list_of_models_that_does_not_arrive_can_be_asked_for_again() {
    browse(async |page| {
        page.expect_error("Failed to load resource");
        for fault in [Fault::WrongBytes, Fault::Broken, Fault::Missing] {
            page.server.fail("models/manifest", fault);
            page.visit().await?;
            let message = page.wait_for_message("failure").await?;
            ensure!(message.contains("list of models"), "{fault:?}: {message}");
            page.server.heal();
            page.click("retry").await?;
            page.wait_for_boxes("").await?;
            page.devtools("Network.clearBrowserCache", json!({})).await?;
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_sample_that_does_not_arrive_leaves_the_picture_before() {
    browse(async |page| {
        page.expect_error("Failed to load resource");
        page.open().await?;
        for (fault, part) in [(Fault::Missing, "404"), (Fault::Broken, "broke off")] {
            page.server.fail("samples/chelsea-", fault);
            page.pick_sample("chelsea").await?;
            let message = page.wait_for_message("notice").await?;
            ensure!(message.contains(part), "{message}");
            ensure!(page.text("caption").await?.contains("coffee") && !page.objects().await?.is_empty());
            page.click("dismiss").await?;
        }
        page.server.heal();
        page.pick_sample("chelsea").await?;
        page.wait_for_boxes("chelsea.jpg").await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_tab_put_to_sleep_goes_on_when_it_wakes() {
    browse(async |page| {
        page.open().await?;
        page.pick_sample("chelsea").await?;
        page.devtools("Page.setWebLifecycleState", json!({ "state": "frozen" })).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        page.devtools("Page.setWebLifecycleState", json!({ "state": "active" })).await?;
        page.wait_for_boxes("chelsea.jpg").await?;
        ensure!(page.objects().await?[0].class == "cat");
        ensure!(!page.shows("notice").await?);
        page.wait_for_times().await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_camera_that_is_unplugged_leaves_its_last_picture() {
    browse(async |page| {
        let keep = "const ask = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
            if (ask) navigator.mediaDevices.getUserMedia = async wish => globalThis.stream = await ask(wish);";
        page.script_at_start(keep).await?;
        page.open().await?;
        page.devtools("Browser.grantPermissions", json!({ "permissions": ["videoCapture"] })).await?;
        page.click("camera-start").await?;
        page.wait_for("return /\\d/.test(document.querySelector('[data-testid=fps]')?.textContent)", vec![]).await?;
        page.script("for (const track of stream.getTracks()) track.dispatchEvent(new Event('ended'))", vec![]).await?;
        let message = page.wait_for_message("notice").await?;
        ensure!(message.contains("camera has gone"), "{message}");
        page.wait_for_boxes("Camera").await?;
        ensure!(!page.shows("camera").await?, "its controls are still there");
        Ok(())
    });
}
