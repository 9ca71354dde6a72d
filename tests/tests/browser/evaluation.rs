//! Models are scored on annotated pictures, with the figures of `yolox-nano eval`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::browser::{browse, command_line, downloaded_weights};
use crate::objects::found_by_command_line;
use crate::page::Page;
use crate::photo::sample;

const PICTURES: [&str; 2] = ["chelsea", "motorcycle"];

/// A data set in VOC's layout, of [`PICTURES`] with all that the default model finds in them, and a dog that is not there.
fn data_set(folder: &Path) -> Result<()> {
    for part in ["JPEGImages", "Annotations", "ImageSets/Main"] {
        fs::create_dir_all(folder.join(part))?;
    }
    for name in PICTURES {
        fs::copy(sample(name), folder.join(format!("JPEGImages/{name}.jpg")))?;
        let (width, height) = image::image_dimensions(sample(name))?;
        let mut objects = String::new();
        let mut add = |class: &str, [x1, y1, x2, y2]: [f64; 4]| {
            objects += &format!(
                "<object><name>{class}</name><difficult>0</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>\
                 <ymax>{}</ymax></bndbox></object>",
                x1.round().max(1.0),
                y1.round().max(1.0),
                x2.round().min(f64::from(width)),
                y2.round().min(f64::from(height))
            );
        };
        for found in found_by_command_line(&sample(name))? {
            add(&found.class, found.corners);
        }
        add("dog", [1.0, 1.0, 40.0, 40.0]);
        let size = format!("<size><width>{width}</width><height>{height}</height><depth>3</depth></size>");
        let xml = format!("<annotation><filename>{name}.jpg</filename>{size}{objects}</annotation>");
        fs::write(folder.join(format!("Annotations/{name}.xml")), xml)?;
    }
    fs::write(folder.join("ImageSets/Main/test.txt"), PICTURES.map(|name| format!("{name}\n")).concat())?;
    Ok(())
}

/// Gives the page [`PICTURES`] with their annotations, and turns to the evaluation once all is scored.
pub async fn open_with_annotations(page: &Page, folder: &Path) -> Result<()> {
    data_set(folder)?;
    let file =
        |name: &str| [folder.join(format!("JPEGImages/{name}.jpg")), folder.join(format!("Annotations/{name}.xml"))];
    let files: Vec<PathBuf> = PICTURES.into_iter().flat_map(file).collect();
    page.upload(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>()).await?;
    page.wait_for("return document.querySelector('[data-testid=gallery-done]')?.textContent === '2 / 2'", vec![])
        .await?;
    page.click("view-evaluation").await?;
    let scored = "return document.querySelector('[data-testid=evaluation-done]')?.textContent.startsWith('2 of 2 ')";
    page.wait_for(scored, vec![]).await
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn scores_are_those_of_the_command_line() {
    browse(async |page| {
        page.keep_saved().await?;
        page.open_at("#v=baseline-coco,baseline-voc").await?;
        let folder = tempfile::tempdir()?;
        open_with_annotations(page, folder.path()).await?;
        let shown = page.texts("ap50").await?;
        ensure!(shown.len() == 2, "{shown:?}");
        page.click("save-evaluation-json").await?;
        let (name, bytes) = page.saved().await?;
        ensure!(name == "evaluation.json", "{name}");
        let saved: Value = serde_json::from_slice(&bytes)?;
        for (i, model) in ["baseline-coco", "baseline-voc"].into_iter().enumerate() {
            let output = command_line()?
                .args(["eval", "--json", "--weights"])
                .arg(downloaded_weights(model)?)
                .arg(format!("{}:test", folder.path().display()))
                .output()?;
            ensure!(output.status.success(), "yolox-nano: {}", String::from_utf8_lossy(&output.stderr));
            let theirs: Value = serde_json::from_slice(&output.stdout)?;
            let ours = &saved["models"][i];
            ensure!(ours["model"] == model, "{ours}");
            for figure in ["ap50_11", "ap_11", "ap50_area", "ap_area"] {
                let number = |report: &Value| report[figure].as_f64().with_context(|| format!("{figure} of {report}"));
                let (ours, theirs) = (number(&ours["report"])?, number(&theirs)?);
                ensure!((ours - theirs).abs() < 1e-6, "{model}, {figure}: {ours}, not {theirs}");
            }
        }

        // Two pictures have an interval; what is confused and how large objects are is told of each model.
        let interval = "const all = document.querySelectorAll('[data-testid=ap50-difference]'); return all[1].textContent.includes('[')";
        page.wait_for(interval, vec![]).await?;
        ensure!(saved["models"][1]["ap50_against_first"]["low"].is_number(), "{}", saved["models"][1]);
        let confused = &saved["models"][0]["confusion"];
        let places = confused["class_names"].as_array().context("classes")?.len() + 1;
        ensure!(confused["counts"].as_array().is_some_and(|rows| rows.len() == places), "{confused}");
        ensure!(page.texts("confusion").await?.len() == 2 && page.texts("size-row").await?.len() == 2);

        // The page as a file of its own, with its style and without scripts.
        page.click("save-evaluation-html").await?;
        let (name, bytes) = page.saved().await?;
        let html = String::from_utf8(bytes)?;
        ensure!(
            name == "evaluation.html" && html.contains("<polyline") && html.contains("--accent:"),
            "{name}: {html}"
        );
        ensure!(!html.contains("<script") && shown.iter().all(|ap50| html.contains(ap50)), "{html}");

        // As a picture.
        page.click("save-evaluation-png").await?;
        let (name, bytes) = page.saved().await?;
        let drawn = image::load_from_memory(&bytes)?.into_rgb8();
        let inked = drawn.pixels().filter(|pixel| pixel.0 != [255; 3]).count();
        ensure!(name == "evaluation.png" && drawn.width() > 1000 && inked > 5000, "{name}: {inked} pixels");

        // The best threshold is applied where the slider is.
        let best = page.text("apply-threshold").await?;
        page.click("apply-threshold").await?;
        page.click("view-compare").await?;
        ensure!(page.text("score-value").await? == best, "{best}");
        Ok(())
    });
}

/// The evaluation is open while the networks look at picture after picture, wait when the visitor says so, and go on: in the end
/// all pictures are scored.
#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn what_comes_in_is_scored_to_the_last() {
    browse(async |page| {
        page.open_at("#v=baseline-voc,final-voc").await?;
        let folder = tempfile::tempdir()?;
        data_set(folder.path())?;
        let mut files = Vec::new();
        for i in 0..40 {
            for (part, ending) in [("JPEGImages", "jpg"), ("Annotations", "xml")] {
                let from = folder.path().join(format!("{part}/{}.{ending}", PICTURES[i % 2]));
                files.push(folder.path().join(format!("{i}.{ending}")));
                fs::copy(from, &files[files.len() - 1])?;
            }
        }
        page.upload(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>()).await?;
        page.click("view-evaluation").await?;
        let scored = "return parseInt(document.querySelector('[data-testid=evaluation-done]')?.textContent) > 0";
        page.wait_for(scored, vec![]).await?;
        page.click("gallery-pause").await?;
        ensure!(page.text("gallery-pause").await? == "Go on");
        // What was begun is still finished, and scored two seconds later at most.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let before = page.text("evaluation-done").await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let after = page.text("evaluation-done").await?;
        ensure!(before == after && !after.starts_with("40 "), "{before}; {after}");
        page.click("gallery-pause").await?;
        let scored =
            "return document.querySelector('[data-testid=evaluation-done]')?.textContent.startsWith('40 of 40 ')";
        page.wait_for(scored, vec![]).await?;
        ensure!(!page.shows("gallery-pause").await?, "there is nothing left to wait with");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn without_annotations_the_view_says_what_it_needs() {
    browse(async |page| {
        page.open().await?;
        page.click("view-evaluation").await?;
        ensure!(page.wait_for_message("evaluation-empty").await?.contains("annotations"));
        ensure!(!page.shows("scores").await?);
        Ok(())
    });
}
