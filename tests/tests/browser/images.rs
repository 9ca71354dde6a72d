//! Images in, boxes out, by every way in.

use std::fs;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::browser::browse;
use crate::objects::{found_by_command_line, same};
use crate::page::Page;
use crate::photo::{cat, sample, write_oriented};

/// The page's threshold at the start, and the command line's.
const SCORE: f64 = 0.3;

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn the_first_boxes_come_without_a_click() {
    browse(async |page| {
        let start = Instant::now();
        page.visit_at("").await?;
        page.wait_for("return document.querySelector('[data-testid=viewer]')?.dataset.state === 'done'", vec![])
            .await?;
        println!("first boxes {} ms after navigation, cold cache", start.elapsed().as_millis());
        ensure!(!page.objects().await?.is_empty());
        ensure!(page.text("summary").await?.contains("object"));
        page.wait_for_times().await?;
        for id in ["network-ms", "cold-ms", "preprocess-ms", "postprocess-ms"] {
            let text = page.text(id).await?;
            ensure!(text.ends_with(" ms"), "{id}: {text}");
        }
        ensure!(page.text("parameters").await? == "900,459");
        ensure!(page.text("gflops").await? == "1.0516");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn every_sample_gives_the_command_lines_boxes() {
    browse(async |page| {
        page.open().await?;
        for id in ["astronaut", "chelsea", "china", "coffee", "motorcycle"] {
            page.pick_sample(id).await?;
            page.wait_for_boxes(&format!("{id}.jpg")).await?;
            same(&page.objects().await?, &found_by_command_line(&sample(id))?, SCORE)?;
            ensure!(page.text("caption").await? == format!("{id}.jpg"));
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn an_uploaded_file_gives_the_command_lines_boxes() {
    browse(async |page| {
        page.open().await?;
        let folder = tempfile::tempdir()?;
        // A format and a name of its own.
        let file = folder.path().join("my coffee.png");
        image::open(sample("coffee"))?.to_rgb8().save(&file)?;
        page.upload(&[&file]).await?;
        page.wait_for_boxes("my coffee.png").await?;
        let objects = page.objects().await?;
        ensure!(!objects.is_empty());
        same(&objects, &found_by_command_line(&file)?, SCORE)
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn orientation_is_applied_exactly_once() {
    browse(async |page| {
        page.open().await?;
        let folder = tempfile::tempdir()?;
        let image = cat()?;
        let mut upright = None;
        for orientation in 1..=8 {
            let name = format!("orientation-{orientation}.jpg");
            let file = folder.path().join(&name);
            write_oriented(&image, orientation, &file)?;
            page.upload(&[&file]).await?;
            page.wait_for_boxes(&name).await?;

            let objects = page.objects().await?;
            ensure!(!objects.is_empty(), "{name}: the cat is lost");
            same(&objects, &found_by_command_line(&file)?, SCORE)?;
            same(&objects, upright.get_or_insert_with(|| objects.clone()), SCORE)?;
            // What is shown has to be upright too, or the boxes would lie beside it.
            let script = "const picture = document.querySelector('[data-testid=picture]');
                await picture.decode();
                return [picture.naturalWidth, picture.naturalHeight, picture.width > picture.height];";
            let shown = page.script(&format!("return (async () => {{ {script} }})()"), vec![]).await?;
            ensure!(shown == json!([448, 288, true]), "{name}: {shown}");
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_dropped_image_is_taken() {
    browse(async |page| {
        page.open().await?;
        let script = "const target = document.querySelector('[data-testid=caption]');
            for (const kind of ['dragenter', 'dragover', 'drop']) {
                target.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: data }));
            }";
        hand_over(page, "dropped.jpg", script).await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_pasted_image_is_taken() {
    browse(async |page| {
        page.open().await?;
        let script =
            "document.body.dispatchEvent(new ClipboardEvent('paste', { bubbles: true, clipboardData: data }));";
        hand_over(page, "pasted.jpg", script).await
    });
}

/// Gives the cat to the page in an event that `script` dispatches.
async fn hand_over(page: &Page, name: &str, script: &str) -> Result<()> {
    let bytes = fs::read(sample("chelsea"))?;
    let script = format!(
        "const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(arguments[0])], arguments[1], {{ type: 'image/jpeg' }}));
        {script}"
    );
    page.script(&script, vec![Value::from(bytes), json!(name)]).await?;
    page.wait_for_boxes(name).await?;
    same(&page.objects().await?, &found_by_command_line(&sample("chelsea"))?, SCORE)
}
