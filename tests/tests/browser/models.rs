//! Every published model can be chosen, and one that was on show before comes back without another run.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::browser::browse;
use crate::page::Page;

/// Names in the manifest, the default first.
fn published() -> Vec<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models/manifest.json");
    let manifest: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let name = |model: &Value| model["name"].as_str().unwrap().to_owned();
    manifest["models"].as_array().unwrap().iter().map(name).collect()
}

async fn choose(page: &Page, model: &str) -> Result<()> {
    page.choose("model", 0, model).await?;
    let shown = "return document.querySelector('[data-testid=viewer]')?.dataset.model === arguments[0]";
    page.wait_for(shown, vec![json!(model)]).await
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn every_model_can_be_chosen_and_comes_back_as_it_was() {
    browse(async |page| {
        page.open().await?;
        page.pick_sample("motorcycle").await?;
        page.wait_for_boxes("motorcycle.jpg").await?;
        page.wait_for_times().await?;
        let (models, first) = (published(), page.objects().await?);
        for model in &models[1..] {
            choose(page, model).await?;
            page.wait_for_boxes("motorcycle.jpg").await?;
            page.wait_for_times().await?;
            ensure!(page.objects().await?.iter().all(|object| object.score >= 0.3), "{model}");
        }
        let runs = page.runs().await?;
        choose(page, &models[0]).await?;
        page.wait_for_boxes("motorcycle.jpg").await?;
        ensure!(format!("{:?}", page.objects().await?) == format!("{first:?}"), "the boxes are others than at first");
        ensure!(page.runs().await? == runs, "the network has run again on the same picture");
        Ok(())
    });
}
