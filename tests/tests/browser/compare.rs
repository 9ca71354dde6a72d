//! Panels side by side: what all find, what only one does, and what they share.

use std::fs;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::browser::browse;
use crate::objects::{found_with, same};
use crate::page::Page;
use crate::photo::sample;

const BOTH: &str = "#v=baseline-coco,baseline-voc&s=motorcycle";

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn the_page_opens_with_two_models_side_by_side() {
    browse(async |page| {
        page.open_at("").await?;
        let script =
            "return Array.from(document.querySelectorAll('[data-testid=viewer]'), viewer => viewer.dataset.model)";
        ensure!(page.script(script, vec![]).await? == json!(["baseline-voc", "final-voc"]));
        page.wait_for_times().await?;
        let words = page.text("words").await?;
        ensure!(words.contains("here") && words.contains("baseline-"), "{words}");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn every_model_finds_what_the_command_line_does() {
    browse(async |page| {
        page.open_at("#v=baseline-coco,baseline-voc,final-voc&s=coffee&score=0.25").await?;
        for id in ["motorcycle", "chelsea", "astronaut"] {
            page.pick_sample(id).await?;
            page.wait_for_boxes(&format!("{id}.jpg")).await?;
            for (place, model) in ["baseline-coco", "baseline-voc", "final-voc"].into_iter().enumerate() {
                let theirs = found_with(model, &sample(id))?.into_iter().filter(|object| object.score >= 0.25);
                same(&page.objects_of(place).await?, &theirs.collect::<Vec<_>>(), 0.3)?;
            }
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn objects_are_matched_across_class_lists() {
    browse(async |page| {
        page.open_at(BOTH).await?;
        // COCO's "motorcycle" and VOC's "motorbike" are one object.
        let row = "return Array.from(document.querySelectorAll('[data-testid=object][data-class=motorcycle]')).some(row =>
            Array.from(row.querySelectorAll('[data-testid=found]'), cell => cell.dataset.standing).join() === 'all,all')";
        page.wait_for(row, vec![]).await?;
        ensure!(page.objects_of(1).await?.iter().any(|object| object.class == "motorbike"));
        // What only one finds is said to be missed, or unknown, by the other.
        let standings = "return Array.from(document.querySelectorAll('[data-testid=object]'), row =>
            Array.from(row.querySelectorAll('[data-standing]'), cell => cell.dataset.standing))";
        page.slide("score", 0.1).await?;
        let standings: Vec<[String; 2]> = serde_json::from_value(page.script(standings, vec![]).await?)?;
        ensure!(standings.iter().any(|[a, b]| a == "only" || b == "only"), "{standings:?}");
        for [a, b] in &standings {
            let fits = matches!(
                (&a[..], &b[..]),
                ("all", "all") | ("only", "missed" | "unknown") | ("missed" | "unknown", "only")
            );
            ensure!(fits, "{a} beside {b}");
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn differences_alone_leave_out_what_both_find() {
    browse(async |page| {
        page.open_at(BOTH).await?;
        page.slide("score", 0.1).await?;
        let rows = "return document.querySelectorAll('[data-testid=object]').length";
        let agreed = "return document.querySelectorAll('[data-panel=\"0\"][data-standing=all]').length";
        let (all, both) = (page.script(rows, vec![]).await?, page.script(agreed, vec![]).await?);
        page.click("differences").await?;
        let left = page.script(rows, vec![]).await?;
        ensure!(
            both.as_u64() > Some(0) && left.as_u64() == all.as_u64().zip(both.as_u64()).map(|(a, b)| a - b),
            "{all} {both} {left}"
        );
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn zoom_and_highlight_are_shared() {
    browse(async |page| {
        page.open_at(BOTH).await?;
        // What the pointer is on in one panel stands out in both.
        let image = "return Array.from(document.querySelectorAll('[data-testid=boxes]'), canvas => canvas.toDataURL())";
        let plain = page.script(image, vec![]).await?;
        let point = "const hands = document.querySelector('[data-testid=hands]');
            const area = hands.getBoundingClientRect();
            hands.dispatchEvent(new PointerEvent('pointermove', { bubbles: true,
                clientX: area.x + area.width / 2, clientY: area.y + area.height / 2 }));";
        page.script(point, vec![]).await?;
        let pointed = page.script(image, vec![]).await?;
        ensure!(pointed[0] != plain[0] && pointed[1] != plain[1], "the other panel does not follow");

        let pinch = "const hands = document.querySelector('[data-testid=hands]');
            const area = hands.getBoundingClientRect();
            hands.dispatchEvent(new WheelEvent('wheel', { bubbles: true, cancelable: true, ctrlKey: true, deltaY: -200,
                clientX: area.x + area.width / 4, clientY: area.y + area.height / 2 }));";
        page.script(pinch, vec![]).await?;
        let transforms =
            "return Array.from(document.querySelectorAll('[data-testid=picture]'), picture => picture.style.transform)";
        let transforms: Vec<String> = serde_json::from_value(page.script(transforms, vec![]).await?)?;
        ensure!(
            transforms.len() == 2 && transforms[0] == transforms[1] && transforms[0].contains("scale(2.7"),
            "{transforms:?}"
        );

        // Two fingers apart, then the whole again by the keyboard.
        let fingers = "const hands = document.querySelectorAll('[data-testid=hands]')[1];
            const area = hands.getBoundingClientRect();
            const touch = (kind, pointerId, x) => hands.dispatchEvent(new PointerEvent(kind, { bubbles: true, pointerId,
                pointerType: 'touch', clientX: area.x + x * area.width, clientY: area.y + area.height / 2 }));
            hands.setPointerCapture = () => {};
            touch('pointerdown', 1, 0.4); touch('pointerdown', 2, 0.6);
            touch('pointermove', 2, 0.8);
            touch('pointerup', 1, 0.4); touch('pointerup', 2, 0.8);";
        page.script(fingers, vec![]).await?;
        let scale = page.text("zoom-reset").await?;
        // 2.72 times 2; events have whole pixels.
        let percent: u32 = scale.trim_end_matches(" %").parse()?;
        ensure!((535..=550).contains(&percent), "{scale}");
        let key = "document.querySelector('[data-testid=stage]').dispatchEvent(new KeyboardEvent('keydown', { key: '0', bubbles: true }))";
        page.script(key, vec![]).await?;
        ensure!(page.text("zoom-reset").await? == "100 %");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn panels_come_and_go_up_to_four() {
    browse(async |page| {
        page.open_at("#v=baseline-coco").await?;
        ensure!(!page.shows("remove").await?, "the last panel can be removed");
        page.choose("add", 0, "final-voc").await?;
        page.wait_for("return document.querySelectorAll('[data-testid=viewer]').length === 2", vec![]).await?;
        page.wait_for_boxes("").await?;
        page.click("remove").await?;
        let left = "return Array.from(document.querySelectorAll('[data-testid=viewer]'), v => v.dataset.model).join()";
        page.wait_for(&format!("{left} === 'final-voc'"), vec![]).await?;
        page.wait_for_boxes("").await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn two_panels_lie_over_each_other_with_a_slider_between() {
    browse(async |page| {
        page.open_at(BOTH).await?;
        page.click("overlay-toggle").await?;
        page.wait_for("return document.querySelectorAll('[data-testid=overlay] canvas').length === 2", vec![]).await?;
        page.slide("swipe", 0.25).await?;
        let clips =
            "return Array.from(document.querySelectorAll('[data-testid=overlay] canvas'), c => c.style.clipPath)";
        let dragged = "const hands = document.querySelector('[data-testid=overlay] [data-testid=hands]');
            const area = hands.getBoundingClientRect();
            hands.dispatchEvent(new PointerEvent('pointermove', { bubbles: true, buttons: 1,
                clientX: area.x + area.width * 0.75, clientY: area.y + area.height / 2 }));";
        let clips = page.script(clips, vec![]).await?;
        page.script(dragged, vec![]).await?;
        let follows = "return Math.abs(Number(document.querySelector('[data-testid=swipe]').value) - 0.75) < 0.01";
        page.wait_for(follows, vec![]).await?;
        ensure!(clips == json!(["inset(0px 75% 0px 0px)", "inset(0px 0px 0px 25%)"]), "{clips}");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_class_can_be_hidden_without_another_run() {
    browse(async |page| {
        page.open_at(BOTH).await?;
        page.wait_for_times().await?;
        let runs = page.runs().await?;
        page.script("document.querySelector('[data-testid=class][data-class=motorcycle]').click()", vec![]).await?;
        ensure!(page.objects().await?.iter().all(|object| object.class != "motorcycle"));
        ensure!(page.objects_of(1).await?.iter().all(|object| object.class != "motorbike"));
        ensure!(page.runs().await? == runs, "a network has run");
        page.click("all-classes").await?;
        ensure!(page.objects().await?.iter().any(|object| object.class == "motorcycle"));
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn weights_that_fail_stop_their_own_panel_only() {
    browse(async |page| {
        page.expect_error("Failed to load resource");
        page.server.fail("models/baseline-voc", xtask::server::Fault::Missing);
        page.visit_at(BOTH).await?;
        let first = "return document.querySelector('[data-testid=viewer]')?.dataset.state === 'done'";
        page.wait_for(first, vec![]).await?;
        ensure!(page.wait_for_message("panel-error").await?.contains("404"));
        page.server.heal();
        page.click("retry").await?;
        page.wait_for_boxes("").await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn the_comparison_can_be_taken_away() {
    browse(async |page| {
        page.keep_saved().await?;
        page.open_at(BOTH).await?;
        page.wait_for_times().await?;

        page.click("save-json").await?;
        let (name, bytes) = page.saved().await?;
        ensure!(name == "motorcycle-comparison.json", "{name}");
        let json: Value = serde_json::from_slice(&bytes)?;
        ensure!(json["models"][1]["model"] == "baseline-voc" && json["models"][0]["network_ms"].is_number(), "{json}");
        let exported = json["models"][0]["detections"].as_array().map_or(0, Vec::len);
        ensure!(exported == page.objects().await?.len(), "{json}");

        page.click("save-csv").await?;
        let (name, bytes) = page.saved().await?;
        let text = String::from_utf8(bytes)?;
        ensure!(
            name.ends_with(".csv") && text.lines().count() > exported && text.contains("motorcycle.jpg,baseline-voc,"),
            "{text}"
        );

        page.click("save-png").await?;
        let (name, bytes) = page.saved().await?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join(&name);
        fs::write(&file, bytes)?;
        let image = image::open(&file)?;
        // Two panels of 900 pixels, and gaps.
        ensure!(image.width() == 1848, "{name}: {} pixels wide", image.width());
        Ok(())
    });
}

/// The part of the address behind the `#`.
async fn hash(page: &Page) -> Result<String> {
    Ok(page.script("return location.hash", vec![]).await?.as_str().unwrap_or_default().to_owned())
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_link_restores_what_is_on_show() {
    browse(async |page| {
        page.open_at("#v=final,baseline&score=0.2&s=chelsea&nms=0.6").await?;
        page.wait_for_boxes("chelsea.jpg").await?;
        let models =
            "return Array.from(document.querySelectorAll('[data-testid=viewer]'), v => v.dataset.model).join()";
        ensure!(page.script(models, vec![]).await? == "final-voc,baseline-coco");
        ensure!(page.text("score-value").await? == "0.20" && page.text("nms-value").await? == "0.60");

        page.slide("score", 0.4).await?;
        page.pick_sample("china").await?;
        page.wait_for_boxes("china.jpg").await?;
        page.wait_for("return location.hash.includes('score=0.4') && location.hash.includes('s=china')", vec![])
            .await?;
        let link = hash(page).await?;
        page.open_at(&link).await?;
        page.wait_for_boxes("china.jpg").await?;
        ensure!(page.text("score-value").await? == "0.40");
        ensure!(page.script(models, vec![]).await? == "final-voc,baseline-coco");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn the_page_speaks_korean() {
    browse(async |page| {
        page.open_at("#lang=ko").await?;
        ensure!(page.text("view-compare").await? == "비교");
        ensure!(page.script("return document.documentElement.lang", vec![]).await? == "ko");
        page.click("language-en").await?;
        ensure!(page.text("view-compare").await? == "Compare");
        page.click("language-ko").await?;
        page.wait_for("return location.hash.includes('lang=ko')", vec![]).await
    });
}
