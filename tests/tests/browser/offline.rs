//! After the first visit the page needs no server; a newer version of the site takes the place of what was kept.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use xtask::names::hashed;
use xtask::server::Fault;

use crate::browser::{browse, browse_under, site};
use crate::objects::Object;
use crate::page::Page;

/// Waits until the service worker has all that it keeps and answers this page's requests.
pub async fn wait_until_kept(page: &Page) -> Result<()> {
    let controlled = "return navigator.serviceWorker.controller?.state === 'activated'";
    page.wait_for(controlled, vec![]).await.context("no service worker starts")
}

/// Takes away the server, and what the browser would have kept without being asked to.
pub async fn go_offline(page: &Page) -> Result<()> {
    page.server.stop();
    page.devtools("Network.clearBrowserCache", json!({})).await?;
    Ok(())
}

/// URLs in the caches of the site, relative to it; weights are in another.
async fn kept(page: &Page) -> Result<Vec<String>> {
    let script = "return (async () => {
        const names = (await caches.keys()).filter(name => name.startsWith('yolox-nano-site '));
        const keys = await Promise.all(names.map(async name => (await caches.open(name)).keys()));
        return keys.flat().map(request => request.url.replace(document.baseURI.replace(/[?#].*/, ''), ''));
    })()";
    Ok(serde_json::from_value(page.script(script, vec![]).await?)?)
}

/// Boxes of a sample.
async fn found(page: &Page, sample: &str) -> Result<Vec<Object>> {
    page.pick_sample(sample).await?;
    page.wait_for_boxes(&format!("{sample}.jpg")).await?;
    page.objects().await
}

async fn works_offline(page: &Page) -> Result<()> {
    page.open().await?;
    let first = page.objects().await?;
    wait_until_kept(page).await?;
    let isolated = page.script("return crossOriginIsolated", vec![]).await?;
    let build = page.text("build").await?;
    go_offline(page).await?;

    page.open().await?;
    ensure!(page.objects().await?.len() == first.len(), "other boxes than with a server");
    // Its full image was not on show before.
    ensure!(found(page, "chelsea").await?[0].class == "cat");
    ensure!(page.script("return crossOriginIsolated", vec![]).await? == isolated);
    ensure!(page.text("build").await? == build, "another build than with a server");
    Ok(())
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_second_visit_needs_no_server() {
    browse(works_offline);
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn nor_does_it_below_a_path_and_without_isolation() {
    browse_under("/some/where/", async |page| {
        page.server.isolate(false);
        works_offline(page).await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn only_what_this_browser_uses_is_kept_and_no_weights() {
    browse(async |page| {
        page.open_with("?build=relaxed").await?;
        wait_until_kept(page).await?;
        let kept = kept(page).await?;
        ensure!(kept.iter().any(|url| url.is_empty()), "no page among {kept:?}");
        for part in ["page-", "worker-relaxed-", "samples/thumbnails/china-", "models/manifest-"] {
            ensure!(kept.iter().any(|url| url.starts_with(part)), "no {part} among {kept:?}");
        }
        for part in [".safetensors", "worker-plain", "worker-threads", "thread-", "service-worker"] {
            let excess = |url: &&String| url.ends_with(part) || url.starts_with(part);
            ensure!(!kept.iter().any(|url| excess(&url)), "{part} among {kept:?}");
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_web_page_in_place_of_a_file_is_not_kept() {
    browse(async |page| {
        // The empty page before the visit has no service workers.
        let watch = "const workers = navigator.serviceWorker;
            const register = workers?.register.bind(workers);
            if (workers) workers.register = async url => {
                const registration = await register(url);
                const worker = registration.installing;
                worker?.addEventListener('statechange', () => globalThis.installation = worker.state);
                return registration;
            };";
        page.script_at_start(watch).await?;
        page.server.fail("samples/china-", Fault::WrongBytes);
        page.open().await?;
        let failed = "return globalThis.installation === 'redundant'";
        page.wait_for(failed, vec![]).await.context("the installation does not fail")?;
        let kept = kept(page).await?;
        ensure!(kept.is_empty(), "{kept:?}");
        // The next visit tries again.
        page.server.heal();
        page.open().await?;
        wait_until_kept(page).await
    });
}

/// Publishes a newer version of the site, of another colour, and removes a file of the older; the names of the older and the newer style sheet.
fn publish_newer(page: &Page) -> Result<(String, String)> {
    let index = fs::read_to_string(site().join("index.html"))?;
    let start = index.find("page-").context("index.html names no style sheet")?;
    let (css, _) = index[start..].split_once('"').context("index.html")?;
    ensure!(css.ends_with(".css"), "{css}");
    let version = index.split_once("?site=").and_then(|(_, rest)| rest.get(..16)).context("no version")?;
    let content = b"body { background: rgb(1, 2, 3) }";
    let new_css = hashed("page.css", content)?;
    let new_index = index.replace(css, &new_css).replace(version, "0123456789abcdef");
    page.server.put("index.html", new_index.into_bytes());
    page.server.put(&new_css, content.to_vec());
    page.server.fail(css, Fault::Missing);
    Ok((css.to_owned(), new_css))
}

/// Whether the page is of the newer version.
const IS_NEW: &str = "return getComputedStyle(document.body).backgroundColor === 'rgb(1, 2, 3)'";
/// Whether its service worker is.
const REPLACED: &str = "return navigator.serviceWorker.controller?.scriptURL.includes('0123456789abcdef')";

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_new_version_of_the_site_replaces_the_old_one() {
    browse(async |page| {
        page.open().await?;
        wait_until_kept(page).await?;

        let (css, new_css) = publish_newer(page)?;
        page.open().await?;
        page.wait_for(IS_NEW, vec![]).await.context("the old page is shown while there is a new one")?;
        page.wait_for(REPLACED, vec![]).await.context("the old service worker stays")?;
        wait_until_kept(page).await?;
        let kept = kept(page).await?;
        ensure!(kept.contains(&new_css) && !kept.contains(&css), "{kept:?}");
        ensure!(kept.iter().filter(|url| url.is_empty()).count() == 1, "{kept:?}");

        go_offline(page).await?;
        page.open().await?;
        page.wait_for(IS_NEW, vec![]).await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn an_older_tab_goes_on_under_the_service_worker_of_a_newer_version() {
    browse(async |page| {
        page.open().await?;
        wait_until_kept(page).await?;
        publish_newer(page)?;
        let older = page.open_tab().await?;
        page.open().await?;
        page.wait_for(IS_NEW, vec![]).await?;
        page.wait_for(REPLACED, vec![]).await?;

        page.turn_to_tab(older).await?;
        page.wait_for(REPLACED, vec![]).await.context("the older tab keeps a service worker of its own")?;
        ensure!(found(page, "chelsea").await?[0].class == "cat");
        page.choose("add", 0, "baseline-voc").await?;
        page.wait_for_boxes("chelsea.jpg").await?;
        ensure!(page.script(IS_NEW, vec![]).await? == json!(false), "the tab was loaded anew");
        ensure!(!page.shows("notice").await?);
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_host_can_take_it_back() {
    browse(async |page| {
        page.open().await?;
        wait_until_kept(page).await?;
        let guide = fs::read_to_string(integration_tests::repository().join("docs/deploy.md"))?;
        let (_, rest) = guide.split_once("```js\n").context("docs/deploy.md has no script")?;
        let (script, _) = rest.split_once("```").context("docs/deploy.md")?;
        page.server.put("service-worker.js", script.as_bytes().to_vec());
        // The browser looks for a newer one on its own; this is how a test need not wait for it.
        page.script("navigator.serviceWorker.getRegistration().then(registration => registration.update())", vec![])
            .await?;
        let gone =
            "return Promise.all([navigator.serviceWorker.getRegistrations(), caches.keys()]).then(([workers, names]) =>
            workers.length === 0 && !names.some(name => name.startsWith('yolox-nano-site ')))";
        page.wait_for(gone, vec![]).await
    });
}
