//! Where the page lives, and how it fits on screens.

use anyhow::ensure;
use serde_json::json;
use xtask::server::Fault;

use crate::browser::{browse, browse_under};

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn below_a_path() {
    browse_under("/some/where/", async |page| {
        page.open().await?;
        page.pick_sample("chelsea").await?;
        page.wait_for_boxes("chelsea.jpg").await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn every_byte_comes_from_the_pages_own_server() {
    browse(async |page| {
        page.open().await?;
        let script = "return performance.getEntriesByType('resource').map(entry => entry.name)
            .filter(name => !name.startsWith('blob:') && new URL(name).origin !== location.origin)";
        let foreign = page.script(script, vec![]).await?;
        ensure!(foreign == json!([]), "{foreign}");
        // And the browser would not let it be otherwise.
        page.expect_error("Content Security Policy");
        let send = "return fetch('https://example.org/').then(() => 'sent', () => 'refused')";
        ensure!(page.script(send, vec![]).await? == json!("refused"));
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn it_fits_phones_and_wide_screens() {
    browse(async |page| {
        for width in [360, 768, 1600, 2560] {
            let metrics = json!({ "width": width, "height": 800, "deviceScaleFactor": 2, "mobile": width < 500 });
            page.devtools("Emulation.setDeviceMetricsOverride", metrics).await?;
            page.open_at("#v=baseline-coco,baseline-voc,final-voc").await?;
            let script = "const canvas = document.querySelector('[data-testid=boxes]');
                const picture = document.querySelector('[data-testid=picture]').getBoundingClientRect();
                const boxes = canvas.getBoundingClientRect();
                return {
                    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
                    offset: Math.abs(picture.x - boxes.x) + Math.abs(picture.width - boxes.width),
                    sharp: Math.abs(canvas.width - 2 * boxes.width) <= 2,
                };";
            let layout = page.script(script, vec![]).await?;
            ensure!(layout == json!({ "overflow": 0, "offset": 0, "sharp": true }), "{width} pixels: {layout}");
            for view in ["benchmark", "variants"] {
                page.click(&format!("view-{view}")).await?;
                let script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
                let overflow = page.script(script, vec![]).await?;
                ensure!(overflow == json!(0), "{view} is {overflow} pixels too wide for {width}");
            }
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_page_without_its_program_says_so() {
    browse(async |page| {
        page.expect_error("Failed to load resource");
        page.expect_error("Refused to apply style");
        page.expect_error("the server answered 404");
        page.server.fail("page-", Fault::Missing);
        page.visit().await?;
        let script = "const text = document.getElementById('failure');
            return !text.hidden && text.textContent.includes('could not start')";
        page.wait_for(script, vec![]).await
    });
}
