//! The benchmark measures every model and variant on this device.

use anyhow::ensure;
use serde_json::json;

use crate::browser::browse;

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn every_model_and_variant_is_measured() {
    browse(async |page| {
        page.visit_at("#v=baseline-coco&view=benchmark").await?;
        page.wait_for_message("bench-start").await?;
        page.click("bench-start").await?;
        let rows = "return document.querySelectorAll('[data-testid=bench-ms]').length";
        let rows = page.script(rows, vec![]).await?.as_u64().unwrap_or_default();
        ensure!(rows >= 8, "{rows} rows");
        // One after another, as all of them together take longer than anything else.
        for measured in 1..=rows {
            page.wait_for(
                "const cells = Array.from(document.querySelectorAll('[data-testid=bench-ms]'), cell => cell.textContent);
                return cells.filter(text => /^[\\d.]+ ms$/.test(text)).length >= arguments[0]",
                vec![json!(measured)],
            )
            .await?;
        }
        ensure!(page.shows("bench-chart").await?);
        let points = "return document.querySelectorAll('[data-testid=bench-chart] circle').length";
        // Those with a score: published models.
        ensure!(page.script(points, vec![]).await?.as_u64() >= Some(3));
        ensure!(!page.text("bench-build").await?.is_empty());
        page.click("view-compare").await?;
        page.wait_for_boxes("").await
    });
}
