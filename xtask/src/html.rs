//! index.html of the site, from the template at the top level.
//!
//! The template names files as the source tree does (`href="page.css"`); here those names become the published ones. At run time the
//! page finds files through the map in `<script id="assets">`: logical name -> URL relative to the page. The service worker's, whose name
//! stays, ends in a query that changes with the site.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use xtask::names::{SERVICE_WORKER, hash};

use crate::site::Site;

/// Stands in the template where the map and the preloads go.
const MARKER: &str = "<!-- assets -->";

/// What every visit needs, as `link` elements: the browser fetches it while it still parses the page.
///
/// Which build of the worker's program a visit needs turns out only in the browser.
const PRELOADED: [(&str, &str); 3] = [
    ("page.js", r#"rel="modulepreload""#),
    ("page.wasm", r#"rel="preload" as="fetch" type="application/wasm" crossorigin"#),
    ("worker.js", r#"rel="modulepreload""#),
];

/// Fills in the template.
pub fn render(template: &str, site: &Site) -> Result<String> {
    let (before, after) =
        template.split_once(MARKER).with_context(|| format!("index.html lacks the line `{MARKER}` in its head"))?;
    let mut page = with_published_names(before, site)?;
    page += &head(template, site)?;
    page += &with_published_names(after, site)?;
    Ok(page)
}

/// Preloads and the map of assets.
fn head(template: &str, site: &Site) -> Result<String> {
    let mut lines = Vec::new();
    for (logical, attributes) in PRELOADED {
        let url = site.url(logical).with_context(|| format!("the site has no {logical}"))?;
        lines.push(format!(r#"<link {attributes} href="{url}">"#));
    }
    let mut map: BTreeMap<_, _> = site.files().map(|(logical, file)| (logical, file.url.clone())).collect();
    if let Some(url) = map.get_mut(SERVICE_WORKER) {
        *url += &format!("?site={}", version(template, site));
    }
    let map = serde_json::to_string(&map)?;
    lines.push(format!(r#"<script type="application/json" id="assets">{map}</script>"#));
    Ok(lines.join("\n"))
}

/// Stands for all that makes up the site.
fn version(template: &str, site: &Site) -> String {
    let parts = site.files().map(|(logical, file)| format!("{logical} {}\n", hash(&file.content)));
    hash((template.to_owned() + &parts.collect::<String>()).as_bytes())
}

/// Replaces the names in `href="..."` and `src="..."`. A relative name that the site lacks is an error: it would be a 404.
fn with_published_names(html: &str, site: &Site) -> Result<String> {
    let mut result = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(start) = ["href=\"", "src=\""].iter().filter_map(|a| rest.find(a).map(|at| at + a.len())).min() {
        let length = rest[start..].find('"').context("index.html has an attribute without an end")?;
        let name = &rest[start..start + length];
        result += &rest[..start];
        match site.url(name) {
            Some(url) => result += url,
            None if name.starts_with('#') || name.contains(':') => result += name,
            None => bail!("index.html names `{name}`, which the site does not have"),
        }
        rest = &rest[start + length..];
    }
    Ok(result + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        let mut site = Site::default();
        for logical in PRELOADED.map(|(logical, _)| logical).into_iter().chain(["page.css", "models/manifest.json"]) {
            site.add(logical, logical.as_bytes().to_vec()).unwrap();
        }
        site
    }

    #[test]
    fn names_become_published_ones() {
        let site = site();
        let template = "<head><link href=\"page.css\"><!-- assets --></head><a href=\"https://example.org/\" id=\"a\">\
                        </a><a href=\"#a\"></a><img src=\"data:,\">";
        let page = render(template, &site).unwrap();
        let css = site.url("page.css").unwrap();
        assert!(page.starts_with(&format!("<head><link href=\"{css}\"><link rel=\"modulepreload\"")), "{page}");
        assert!(
            page.ends_with(
                "</head><a href=\"https://example.org/\" id=\"a\"></a><a href=\"#a\"></a><img src=\"data:,\">"
            )
        );
    }

    #[test]
    fn the_map_leads_from_logical_names_to_relative_urls() {
        let site = site();
        let page = render(MARKER, &site).unwrap();
        let (_, json) = page.split_once(r#"id="assets">"#).unwrap();
        let map: BTreeMap<String, String> = serde_json::from_str(json.split_once("</script>").unwrap().0).unwrap();
        assert_eq!(map.len(), 5);
        assert_eq!(map["models/manifest.json"], site.url("models/manifest.json").unwrap());
        assert!(map.values().all(|url| !url.starts_with('/') && !url.contains(':')));
    }

    #[test]
    fn the_service_worker_keeps_its_name_and_learns_of_every_change() {
        let rendered = |template: &str, css: &str, worker: &str| {
            let mut site = Site::default();
            for logical in PRELOADED.map(|(logical, _)| logical) {
                site.add(logical, vec![]).unwrap();
            }
            site.add("page.css", css.into()).unwrap();
            site.add(SERVICE_WORKER, worker.into()).unwrap();
            let page = render(template, &site).unwrap();
            let (_, rest) = page.split_once(r#""service-worker.js":"service-worker.js?site="#).unwrap();
            rest.split_once('"').unwrap().0.to_owned()
        };
        let first = rendered(MARKER, "css", "worker");
        assert_eq!(first, rendered(MARKER, "css", "worker"));
        let others = [
            rendered("<!-- assets --><p>", "css", "worker"),
            rendered(MARKER, "CSS", "worker"),
            rendered(MARKER, "css", "WORKER"),
        ];
        assert!(others.iter().all(|other| *other != first), "{first} {others:?}");
    }

    #[test]
    fn the_page_has_a_policy_and_keeps_to_it() {
        let page = include_str!("../../index.html");
        let (_, policy) = page.split_once(r#"http-equiv="Content-Security-Policy" content=""#).unwrap();
        let (policy, rest) = policy.split_once('"').unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self' 'wasm-unsafe-eval';"), "{policy}");
        assert!(
            !policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'") && !policy.contains('*'),
            "{policy}"
        );
        // It comes before all that it is about, none of which stands in the page itself.
        assert!(rest.contains("<script") && rest.contains("stylesheet"));
        for script in rest.split("<script").skip(1) {
            assert!(script.split_once('>').unwrap().0.contains("src="), "{script}");
        }
        let is_handler = |after: &str| after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).starts_with('=');
        assert!(!rest.split(" on").skip(1).any(is_handler), "a script in an attribute");
        assert!(!rest.contains("<style") && !rest.contains(" style=") && !rest.contains("javascript:"));
    }

    #[test]
    fn a_name_that_leads_nowhere_is_an_error() {
        let error = render("<!-- assets --><img src=\"logo.svg\">", &site()).unwrap_err();
        assert!(error.to_string().contains("`logo.svg`"));
        assert!(render("<head></head>", &site()).is_err());
    }
}
