//! The benchmark measures every model and variant on this device.

use anyhow::ensure;

use crate::browser::browse;

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn every_model_and_variant_is_measured() {
    browse(async |page| {
        page.visit_at("#v=baseline-coco&view=benchmark").await?;
        page.wait_for_message("bench-start").await?;
        page.click("bench-start").await?;
        page.wait_for(
            "const cells = Array.from(document.querySelectorAll('[data-testid=bench-ms]'), cell => cell.textContent);
            return cells.length >= 8 && cells.every(text => /^[\\d.]+ ms$/.test(text))",
            vec![],
        )
        .await?;
        ensure!(page.shows("bench-chart").await?);
        let points = "return document.querySelectorAll('[data-testid=bench-chart] circle').length";
        // Those with a score: published models.
        ensure!(page.script(points, vec![]).await?.as_u64() >= Some(3));
        ensure!(!page.text("bench-build").await?.is_empty());
        page.click("view-compare").await?;
        page.wait_for_boxes("").await
    });
}
