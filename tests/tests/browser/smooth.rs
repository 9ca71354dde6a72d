//! While networks run, the page's own thread is free: scrolling, sliders and buttons answer at once.

use anyhow::{Context, Result, ensure};

use crate::browser::browse;
use crate::page::Page;

/// Tasks above 50 milliseconds, by the browser's own definition, from the beginning of the page.
const WATCH: &str = "globalThis.longTasks = [];
    new PerformanceObserver(list => {
        for (const { startTime, duration } of list.getEntries()) globalThis.longTasks.push([startTime, duration]);
    }).observe({ type: 'longtask', buffered: true });";

/// Start and duration of long tasks in milliseconds, of those that began after `after`.
async fn long_tasks(page: &Page, after: f64) -> Result<Vec<(f64, f64)>> {
    // Entries come in a task of their own.
    let script = "return new Promise(resolve => setTimeout(resolve, 200)).then(() => globalThis.longTasks)";
    let all: Vec<(f64, f64)> = serde_json::from_value(page.script(script, vec![]).await?)?;
    Ok(all.into_iter().filter(|(start, _)| *start >= after).collect())
}

/// Milliseconds since the page began.
async fn now(page: &Page) -> Result<f64> {
    Ok(page.script("return performance.now()", vec![]).await?.as_f64().unwrap_or_default())
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn no_task_is_long_while_networks_run() {
    browse(async |page| {
        page.script_at_start(WATCH).await?;
        page.open_at("#v=baseline-coco,baseline-voc,final-voc&s=coffee").await?;
        println!("until the first boxes: {:?}", long_tasks(page, 0.0).await?);
        page.wait_for_times().await?;
        for sample in ["motorcycle", "chelsea", "astronaut", "china", "coffee"] {
            // Another program that takes the processor away makes any task long: the best of a few attempts tells of the page.
            let mut best: Option<Vec<(f64, f64)>> = None;
            for attempt in 1..=6 {
                let (start, runs) = (now(page).await?, page.runs().await?);
                page.pick_sample(sample).await?;
                page.wait_for_boxes(&format!("{sample}.jpg")).await?;
                page.wait_for_times().await?;
                let tasks = long_tasks(page, start).await?;
                println!("{sample}, attempt {attempt}: long tasks [start, duration] in ms {tasks:?}");
                let has_run = page.runs().await? > runs;
                if has_run && best.as_ref().is_none_or(|best| longest(&tasks) < longest(best)) {
                    best = Some(tasks);
                }
                if best.as_ref().is_some_and(Vec::is_empty) {
                    break;
                }
            }
            let best = best.context("no networks have run")?;
            ensure!(best.is_empty(), "{sample}: tasks above 50 ms, [start, duration]: {best:?}");
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_slider_is_done_before_the_next_frame() {
    browse(async |page| {
        page.open_at("#v=baseline-coco,baseline-voc&s=motorcycle").await?;
        page.wait_for_times().await?;
        // Hardly anything is suppressed: boxes by the hundred.
        page.slide("nms", 0.95).await?;
        page.slide("score", 0.02).await?;
        let script = "return (async () => {
            const slider = document.querySelector('[data-testid=score]');
            const next = () => new Promise(done => {
                const channel = new MessageChannel();
                channel.port1.onmessage = done;
                channel.port2.postMessage(0);
            });
            const times = [];
            for (let i = 0; i < 21; i++) {
                await new Promise(requestAnimationFrame);
                const start = performance.now();
                slider.value = i % 2 ? 0.02 : 0.021;
                slider.dispatchEvent(new Event('input', { bubbles: true }));
                // All that the change has set off runs before the next message does.
                await next();
                times.push(performance.now() - start);
            }
            const marks = Array.from(document.querySelectorAll('[data-testid=boxes]'), c => Number(c.dataset.marks));
            return [marks.reduce((a, b) => a + b), times.toSorted((a, b) => a - b)[10]];
        })()";
        let mut best = f64::INFINITY;
        for attempt in 1..=3 {
            let (boxes, median): (usize, f64) = serde_json::from_value(page.script(script, vec![]).await?)?;
            println!("attempt {attempt}: {median:.1} ms for {boxes} boxes");
            ensure!(boxes >= 200, "{boxes} boxes");
            best = best.min(median);
            if best <= 16.0 {
                break;
            }
        }
        ensure!(best <= 16.0, "{best} ms");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_long_task_would_be_seen() {
    browse(async |page| {
        page.script_at_start(WATCH).await?;
        page.open().await?;
        let start = now(page).await?;
        let busy = "setTimeout(() => { const start = performance.now(); while (performance.now() < start + 80); })";
        page.script(busy, vec![]).await?;
        ensure!(longest(&long_tasks(page, start).await?) >= 80.0);
        Ok(())
    });
}

fn longest(tasks: &[(f64, f64)]) -> f64 {
    tasks.iter().map(|(_, duration)| *duration).fold(0.0, f64::max)
}
