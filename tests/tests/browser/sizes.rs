//! Input sizes: a panel's can be chosen, and one model is compared with itself at another.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::browser::browse;
use crate::page::Page;

/// Names of the models on show.
async fn models(page: &Page) -> Result<String> {
    let script = "return Array.from(document.querySelectorAll('[data-testid=viewer]'), v => v.dataset.model).join()";
    Ok(page.script(script, vec![]).await?.as_str().unwrap_or_default().to_owned())
}

/// Waits until these models are on show, and have looked at the picture.
async fn wait_for_models(page: &Page, names: &str) -> Result<()> {
    let script = "return Array.from(document.querySelectorAll('[data-testid=viewer]'), v => v.dataset.model).join()
        === arguments[0]";
    page.wait_for(script, vec![json!(names)]).await.with_context(|| format!("{names} are not on show"))?;
    page.wait_for_boxes("").await
}

/// The figures in a line of the table of costs.
async fn figures(page: &Page, id: &str) -> Result<Vec<f64>> {
    let figure = |text: &String| text.split(' ').next().and_then(|figure| figure.parse().ok()).context("no figure");
    page.texts(id).await?.iter().map(figure).collect()
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn one_model_is_compared_at_two_sizes() {
    browse(async |page| {
        page.open_at("#v=baseline-coco&s=motorcycle").await?;
        page.wait_for_times().await?;
        let runs = page.runs().await?;
        // On show at its own size, it is offered at another.
        page.choose("add", 0, "baseline-coco@640").await?;
        wait_for_models(page, "baseline-coco,baseline-coco@640").await?;
        page.wait_for_times().await?;
        ensure!(page.runs().await? == runs + 6, "the model at its own size has run again");
        ensure!(page.texts("input").await? == ["416 \u{d7} 416 pixels", "640 \u{d7} 640 pixels"]);
        let gflops = figures(page, "gflops").await?;
        let ratio = (640.0_f64 / 416.0).powi(2);
        ensure!((gflops[1] / gflops[0] - ratio).abs() < 0.01, "{gflops:?}");
        let times = figures(page, "network-ms").await?;
        ensure!(times[1] > 1.2 * times[0], "{times:?}");
        ensure!(page.texts("ap50").await?[1] == "\u{2013}", "a score that nobody has measured");

        // Another size of the second panel; the taken one cannot be chosen.
        let taken = "return Array.from(document.querySelectorAll('[data-testid=input-size]')[1].options)
            .filter(option => option.disabled).map(option => option.value).join()";
        ensure!(page.script(taken, vec![]).await? == "416");
        page.choose("input-size", 1, "320").await?;
        wait_for_models(page, "baseline-coco,baseline-coco@320").await?;
        page.wait_for("return location.hash.includes('v=baseline-coco,baseline-coco@320')", vec![]).await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn links_exports_and_the_benchmark_know_sizes() {
    browse(async |page| {
        page.keep_saved().await?;
        page.open_at("#v=baseline@640,baseline@416&s=chelsea").await?;
        ensure!(models(page).await? == "baseline-coco@640,baseline-coco");
        page.click("save-json").await?;
        let saved: serde_json::Value = serde_json::from_slice(&page.saved().await?.1)?;
        ensure!(saved["models"][0]["input_size"] == json!(640) && saved["models"][1]["input_size"] == json!(416));
        page.click("save-csv").await?;
        let csv = String::from_utf8(page.saved().await?.1)?;
        ensure!(csv.contains("chelsea.jpg,baseline-coco@640,640,1,cat"), "{csv}");
        page.click("view-benchmark").await?;
        page.wait_for("return Boolean(document.querySelector('[data-model=\"baseline-coco@640\"]'))", vec![]).await
    });
}
