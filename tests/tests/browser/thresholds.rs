//! Sliders choose among what the network has found, without running it; boxes and table rows belong together.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::browser::browse;
use crate::page::Page;

/// A hash of what is drawn.
async fn drawn(page: &Page) -> Result<u64> {
    let script = "const canvas = document.querySelector('[data-testid=boxes]');
        let hash = 0;
        for (const byte of canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data) {
            hash = (hash * 31 + byte) >>> 0;
        }
        return hash;";
    Ok(page.script(script, vec![]).await?.as_u64().unwrap_or_default())
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn sliders_choose_without_another_run() {
    browse(async |page| {
        page.open().await?;
        page.pick_sample("motorcycle").await?;
        page.wait_for_boxes("motorcycle.jpg").await?;
        page.wait_for_times().await?;
        let (runs, before, image) = (page.runs().await?, page.objects().await?, drawn(page).await?);
        ensure!(runs > 1, "{runs} runs");

        page.slide("score", 0.05).await?;
        let more = page.objects().await?;
        ensure!(more.len() > before.len() && more.iter().all(|object| object.score >= 0.05), "{more:?}");
        ensure!(drawn(page).await? != image, "the canvas has not changed");
        ensure!(page.text("score-value").await? == "0.05");

        page.slide("nms", 0.9).await?;
        ensure!(page.objects().await?.len() > more.len(), "more overlap does not give more boxes");
        page.slide("nms", 0.45).await?;
        page.slide("score", 0.3).await?;
        ensure!(page.objects().await?.len() == before.len());
        ensure!(drawn(page).await? == image, "the canvas is another than at first");
        ensure!(page.runs().await? == runs, "a network has run");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn no_boxes_are_explained_and_a_button_helps() {
    browse(async |page| {
        page.open().await?;
        page.slide("score", 0.95).await?;
        ensure!(page.objects().await?.is_empty());
        ensure!(page.text("summary").await? == "No objects");
        let text = page.text("nothing").await?;
        ensure!(text.contains("0.95"), "{text}");
        page.click("lower").await?;
        ensure!(!page.objects().await?.is_empty(), "lowering the score as advised shows nothing");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn rows_and_boxes_highlight_each_other() {
    browse(async |page| {
        page.open().await?;
        let plain = drawn(page).await?;
        let highlighted = "return Array.from(document.querySelectorAll('[data-testid=object]'))
            .findIndex(row => row.classList.contains('highlighted'))";

        // By the keyboard: into the table, and down one row.
        page.script("document.querySelector('[data-testid=object]').focus()", vec![]).await?;
        let first = drawn(page).await?;
        ensure!(first != plain, "focus highlights no box");
        let down = "document.activeElement.dispatchEvent(
            new KeyboardEvent('keydown', { key: 'ArrowDown', bubbles: true, cancelable: true }))";
        page.script(down, vec![]).await?;
        ensure!(page.script(highlighted, vec![]).await? == json!(1));
        ensure!(drawn(page).await? != first, "the second row highlights the first box");
        page.script("document.activeElement.blur()", vec![]).await?;
        ensure!(drawn(page).await? == plain);

        // By the pointer, from the box to its row.
        let point = "const [canvas, box] = [document.querySelector('[data-testid=hands]'), arguments[0]];
            const [picture, area] = [document.querySelector('[data-testid=picture]'), canvas.getBoundingClientRect()];
            const scale = area.width / picture.naturalWidth;
            canvas.dispatchEvent(new PointerEvent('pointermove', {
                bubbles: true, clientX: area.x + (box[0] + 3) * scale, clientY: area.y + (box[1] + 3) * scale }));";
        let objects = page.objects().await?;
        page.script(point, vec![json!(objects[0].corners)]).await?;
        ensure!(page.script(highlighted, vec![]).await? == json!(0));
        Ok(())
    });
}
