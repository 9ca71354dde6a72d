//! What a first visit weighs, and the parts of the page that come when they are asked for.

use std::fs;
use std::io::Write;

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use xtask::server::Fault;

use crate::browser::{browse, site};
use crate::offline::{go_offline, wait_until_kept};
use crate::page::Page;

/// The most bytes of scripts and WebAssembly that a first visit may fetch, as hosts send them, compressed: a little more than now, so that
/// nothing heavy joins them unseen.
const MOST_BYTES: usize = 700_000;

/// Files of the page's parts: what one part needs alone, and what several share.
const PARTS: [&str; 2] = ["page-split_", "page-chunk_"];

fn is_part(url: &str) -> bool {
    PARTS.iter().any(|part| url.starts_with(part))
}

fn gzipped(content: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    Ok(encoder.finish()?.len())
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn the_opening_view_is_light() {
    browse(async |page| {
        page.open_at("").await?;
        let is_code = |url: &&String| url.ends_with(".js") || url.ends_with(".wasm");
        let mut fetched: Vec<_> = page.server.requested().into_iter().filter(|url| is_code(&url)).collect();
        fetched.sort();
        // Each thread asks for the script that it starts with; the browser has it by then.
        fetched.dedup();
        ensure!(fetched.iter().any(|url| url.starts_with("page-") && url.ends_with(".wasm")), "{fetched:?}");
        ensure!(fetched.iter().any(|url| url.starts_with("worker-") && url.ends_with(".wasm")), "{fetched:?}");
        ensure!(!fetched.iter().any(|url| is_part(url)), "the first boxes need a part: {fetched:?}");
        let sizes = fetched.iter().map(|url| gzipped(&fs::read(site().join(url))?)).collect::<Result<Vec<_>>>()?;
        let bytes: usize = sizes.iter().sum();
        ensure!(bytes <= MOST_BYTES, "a first visit fetches {bytes} bytes: {fetched:?}, {sizes:?}");
        Ok(())
    });
}

/// The views that come when they are asked for, and something that each shows.
const VIEWS: [(&str, &str); 3] =
    [("view-evaluation", "evaluation"), ("view-benchmark", "bench-table"), ("view-variants", "classes")];

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn parts_are_kept_for_visits_without_a_connection() {
    browse(async |page| {
        page.open().await?;
        wait_until_kept(page).await?;
        go_offline(page).await?;
        page.open().await?;
        for (button, content) in VIEWS {
            page.click(button).await?;
            page.wait_for_message(content).await?;
        }
        Ok(())
    });
}

/// Opens the page while its parts cannot be had.
async fn open_without_parts(page: &Page) -> Result<()> {
    // The service worker would have them.
    page.script_at_start("delete Object.getPrototypeOf(navigator).serviceWorker").await?;
    page.expect_error("404");
    page.expect_error("TypeError");
    for part in PARTS {
        page.server.fail(part, Fault::Missing);
    }
    page.open().await
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_view_that_does_not_come_gets_a_sentence_and_another_try() {
    browse(async |page| {
        open_without_parts(page).await?;
        for (button, content) in VIEWS {
            page.click(button).await?;
            let message = page.wait_for_message("part-missing").await?;
            ensure!(message.contains("cannot be fetched") && message.contains("reload"), "{message}");
            ensure!(!page.shows(content).await?);
            page.click("view-compare").await?;
        }
        page.click("view-evaluation").await?;
        page.wait_for_message("part-missing").await?;
        page.server.heal();
        page.click("part-retry").await?;
        page.wait_for_message("evaluation").await?;
        ensure!(!page.shows("part-missing").await?);
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn what_a_missing_part_would_do_is_possible_later() {
    browse(async |page| {
        page.keep_saved().await?;
        open_without_parts(page).await?;
        page.click("save-csv").await?;
        let message = page.wait_for_message("notice").await?;
        ensure!(message.contains("cannot be fetched"), "{message}");
        page.server.heal();
        page.click("save-csv").await?;
        let (name, _) = page.saved().await.context("after the connection has come back")?;
        ensure!(name == "coffee-comparison.csv", "{name}");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_part_that_takes_its_time_says_so() {
    browse(async |page| {
        page.script_at_start("delete Object.getPrototypeOf(navigator).serviceWorker").await?;
        page.open().await?;
        for part in PARTS {
            page.server.fail(part, Fault::Stalled);
        }
        page.click("save-csv").await?;
        ensure!(page.wait_for_message("notice").await?.contains("on its way"));
        page.click("view-variants").await?;
        ensure!(page.wait_for_message("part-loading").await?.contains("on its way"));
        Ok(())
    });
}
