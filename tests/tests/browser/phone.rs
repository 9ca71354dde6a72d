//! On a phone the boxes come first, and what is folded away is a key press away.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::browser::browse;
use crate::page::Page;

/// Where the first picture begins and ends, in CSS pixels from the top of the page.
async fn first_picture(page: &Page) -> Result<(f64, f64)> {
    let script = "const { top, bottom } = document.querySelector('[data-testid=picture]').getBoundingClientRect();
        return [top + scrollY, bottom + scrollY];";
    Ok(serde_json::from_value(page.script(script, vec![]).await?)?)
}

/// Whether the element with this test id can be seen.
async fn is_visible(page: &Page, id: &str) -> Result<bool> {
    let script = "return document.querySelector(`[data-testid=${arguments[0]}]`).checkVisibility()";
    Ok(page.script(script, vec![json!(id)]).await? == json!(true))
}

/// Controls that are not needed at first.
const FOLDED: [&str; 6] = ["sample-chelsea", "upload-folder", "camera-start", "add", "zoom-in", "save-json"];

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn boxes_come_first() {
    browse(async |page| {
        page.turn_to_screen(360, 780).await?;
        for language in ["en", "ko"] {
            page.open_at(&format!("#v=baseline-coco,baseline-voc&lang={language}")).await?;
            page.wait_for_times().await?;
            let (top, bottom) = first_picture(page).await?;
            ensure!(top < 270.0 && bottom < 780.0, "{language}: the first picture is from {top} to {bottom}");
            let width = page.script("return document.documentElement.scrollWidth", vec![]).await?;
            ensure!(width == json!(360), "{language}: the page is {width} pixels wide");
        }
        let breaks = "return getComputedStyle(document.querySelector('.summary')).wordBreak";
        ensure!(page.script(breaks, vec![]).await? == json!("keep-all"), "Korean words break inside");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn controls_unfold_by_keyboard() {
    browse(async |page| {
        page.turn_to_screen(360, 780).await?;
        page.open_at("#v=baseline-coco,baseline-voc").await?;
        for id in FOLDED {
            ensure!(!is_visible(page, id).await?, "{id} is not folded away");
        }
        let unfold = page.element("unfold").await?;
        ensure!(unfold.attr("aria-expanded").await?.as_deref() == Some("false"));
        unfold.send_keys("\u{e007}").await?;
        page.wait_for("return document.querySelector('[data-testid=unfold]').ariaExpanded === 'true'", vec![]).await?;
        for id in FOLDED {
            ensure!(is_visible(page, id).await?, "{id} does not unfold");
        }
        page.pick_sample("chelsea").await?;
        page.wait_for_boxes("chelsea.jpg").await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn nothing_is_folded_on_a_wide_screen() {
    browse(async |page| {
        page.turn_to_screen(1280, 800).await?;
        page.open_at("#v=baseline-coco,baseline-voc").await?;
        ensure!(!is_visible(page, "unfold").await?);
        for id in FOLDED {
            ensure!(is_visible(page, id).await?, "{id} is folded away");
        }
        Ok(())
    });
}
