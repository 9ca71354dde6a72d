//! Which build of the worker runs where, on how many threads, and what the page says about it.

use std::env;

use anyhow::{Result, ensure};
use serde_json::Value;
use xtask::server::Fault;

use crate::browser::{browse, site, xtask};
use crate::objects::{found_by_command_line, same};
use crate::page::Page;
use crate::photo::sample;

/// Whether the site has the build with threads. Without it a test is left out, which under continuous integration is a failure.
pub fn has_threads() -> bool {
    let has_threads = site().read_dir().is_ok_and(|files| {
        files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("worker-threads-"))
    });
    if !has_threads {
        let missing = "the site was built without threads, see the output of `cargo xtask web`";
        assert!(env::var("CI").as_deref() != Ok("true"), "{missing}");
        eprintln!("NOT RUN: {missing}");
    }
    has_threads
}

/// The sign, and what it means.
async fn sign(page: &Page) -> Result<(String, String)> {
    Ok((page.text("build").await?, page.hidden_text("build-explained").await?))
}

/// Fails unless the page finds in every one of these samples what the command line does.
async fn finds_the_same(page: &Page, samples: &[&str]) -> Result<()> {
    for id in samples {
        page.pick_sample(id).await?;
        page.wait_for_boxes(&format!("{id}.jpg")).await?;
        same(&page.objects().await?, &found_by_command_line(&sample(id))?, 0.3)?;
    }
    Ok(())
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn an_isolated_page_runs_on_threads() {
    browse(async |page| {
        if !has_threads() {
            return Ok(());
        }
        // Nothing but the chosen build is downloaded: a request for another would be an error in the console.
        page.server.fail("worker-plain", Fault::Missing);
        page.server.fail("worker-relaxed", Fault::Missing);
        for threads in [2, 3] {
            page.open_with(&format!("?threads={threads}")).await?;
            let (sign, explanation) = sign(page).await?;
            ensure!(sign == format!("{threads} threads \u{b7} relaxed SIMD"), "{sign}");
            ensure!(explanation.contains(&format!("{threads} threads share")), "{explanation}");
            finds_the_same(page, &["astronaut", "chelsea", "china", "coffee", "motorcycle"]).await?;
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn without_isolation_one_thread_runs_and_the_page_says_why() {
    browse(async |page| {
        page.server.isolate(false);
        page.server.fail("worker-threads", Fault::Missing);
        page.server.fail("thread-", Fault::Missing);
        page.open().await?;
        let (sign, explanation) = sign(page).await?;
        ensure!(sign == "1 thread \u{b7} relaxed SIMD", "{sign}");
        for header in ["Cross-Origin-Opener-Policy: same-origin", "Cross-Origin-Embedder-Policy: require-corp"] {
            ensure!(explanation.contains(header), "{explanation}");
        }
        finds_the_same(page, &["astronaut", "china"]).await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn the_address_chooses_a_build() {
    browse(async |page| {
        for (query, expected) in
            [("?build=plain", "1 thread \u{b7} SIMD"), ("?build=relaxed", "1 thread \u{b7} relaxed SIMD")]
        {
            page.open_with(query).await?;
            let (sign, explanation) = sign(page).await?;
            ensure!(sign == expected, "{sign}");
            ensure!(explanation.contains("The page's address asks for it"), "{explanation}");
            finds_the_same(page, &["astronaut", "china"]).await?;
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_browser_without_relaxed_simd_gets_the_plain_build() {
    browse(async |page| {
        page.script_at_start("WebAssembly.validate = () => false").await?;
        page.open().await?;
        let (sign, explanation) = sign(page).await?;
        ensure!(sign == "1 thread \u{b7} SIMD", "{sign}");
        ensure!(explanation.contains("This browser lacks"), "{explanation}");
        finds_the_same(page, &["china"]).await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_thread_that_does_not_start_is_done_without() {
    browse(async |page| {
        if !has_threads() {
            return Ok(());
        }
        page.expect_error("Failed to load resource");
        page.server.fail("thread-", Fault::Missing);
        page.open_with("?threads=2").await?;
        let (sign, explanation) = sign(page).await?;
        ensure!(sign == "1 thread \u{b7} relaxed SIMD", "{sign}");
        ensure!(explanation.contains("has not started the others"), "{explanation}");
        finds_the_same(page, &["china"]).await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_build_with_threads_that_does_not_start_is_replaced() {
    browse(async |page| {
        if !has_threads() {
            return Ok(());
        }
        page.expect_error("Failed to load resource");
        page.expect_error("worker-threads");
        page.server.fail("worker-threads", Fault::Missing);
        page.open_with("?threads=2").await?;
        let (sign, explanation) = sign(page).await?;
        ensure!(sign == "1 thread \u{b7} relaxed SIMD", "{sign}");
        ensure!(explanation.contains("The build with threads failed"), "{explanation}");
        ensure!(!page.shows("notice").await?, "the visitor is bothered with it");
        finds_the_same(page, &["china"]).await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn bench_web_prints_a_row_for_each_build() {
    // It starts a browser of its own, but needs what the others need.
    browse(async |_| {
        let builds: &[&str] = if has_threads() { &["plain", "relaxed", "threads"] } else { &["plain", "relaxed"] };
        let mut command = xtask();
        command.args(["bench-web", "--json", "--runs", "2", "--threads", "2", "--variant", "baseline,dw3", "--build"]);
        let output = command.arg(builds.join(",")).arg("--site").arg(site()).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let rows: Vec<Value> = serde_json::from_slice(&output.stdout)?;
        ensure!(rows.len() == 2 * builds.len(), "{rows:?}");
        let expected =
            ["baseline", "dw3"].into_iter().flat_map(|variant| builds.iter().map(move |build| (variant, *build)));
        for (row, (variant, build)) in rows.iter().zip(expected) {
            ensure!(row["variant"] == variant && row["build"] == build, "{row}");
            ensure!(row["threads"] == if build == "threads" { 2 } else { 1 }, "{row}");
            let number = |key: &str| row[key].as_f64().unwrap_or_default();
            ensure!(0.0 < number("min_ms") && number("min_ms") <= number("median_ms"), "{row}");
            ensure!(number("cold_ms") > 0.0, "{row}");
            ensure!((1.0..120.0).contains(&number("memory_mb")), "{row}");
        }
        Ok(())
    });
}
