//! The page for those who do not see it, or not well: axe-core's rules, in light and dark, on phones and on wide screens.

use std::fmt::Write;
use std::fs;

use anyhow::{Result, ensure};
use integration_tests::repository;
use serde::Deserialize;
use serde_json::json;

use crate::browser::browse;
use crate::evaluation::open_with_annotations;
use crate::page::Page;
use crate::photo::sample;

/// A rule that the page breaks, as axe-core reports it.
#[derive(Deserialize)]
pub struct Violation {
    id: String,
    help: String,
    nodes: Vec<Node>,
}

/// Where it does.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    html: String,
    failure_summary: String,
}

/// What axe-core finds in the page as it is now.
pub async fn violations(page: &Page) -> Result<Vec<Violation>> {
    let axe = fs::read_to_string(repository().join("tests/vendor/axe.min.js"))?;
    let script = format!(
        "{axe};
        return axe.run(document, {{ resultTypes: ['violations'] }}).then(results => results.violations.map(
            ({{ id, help, nodes }}) => ({{ id, help, nodes: nodes.map(({{ html, failureSummary }}) => ({{ html, failureSummary }})) }})));"
    );
    Ok(serde_json::from_value(page.script(&script, vec![]).await?)?)
}

/// As a person reads them.
pub fn report(violations: &[Violation]) -> String {
    let mut text = String::new();
    for Violation { id, help, nodes } in violations {
        let _ = writeln!(text, "{id}: {help}");
        for Node { html, failure_summary } in nodes {
            let _ = writeln!(text, "  {html}\n    {}", failure_summary.replace('\n', "\n    "));
        }
    }
    text
}

/// Turns the page to a width and to light or dark, as a visitor's device does.
async fn emulate(page: &Page, width: u32, scheme: &str) -> Result<()> {
    page.turn_to_screen(width, 800).await?;
    let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    page.devtools("Emulation.setEmulatedMedia", features).await?;
    Ok(())
}

/// Brings the page into one of its states.
async fn show(page: &Page, state: &str) -> Result<()> {
    // What was unfolded lies over buttons.
    page.script("for (const details of document.querySelectorAll('details')) details.open = false", vec![]).await?;
    match state {
        "compare" => {
            page.open_at("#v=baseline-coco,baseline-voc&s=motorcycle&score=0.1").await?;
            page.wait_for_times().await
        }
        "gallery and overlay" => {
            page.upload(&[&sample("chelsea"), &sample("coffee")]).await?;
            page.wait_for_boxes("chelsea.jpg").await?;
            page.wait_for(
                "return document.querySelector('[data-testid=gallery-done]')?.textContent === '2 / 2'",
                vec![],
            )
            .await?;
            // On a phone it is folded away.
            let unfold = "const button = document.querySelector('[data-testid=unfold]');
                if (button.checkVisibility() && button.ariaExpanded === 'false') button.click();";
            page.script(unfold, vec![]).await?;
            page.click("overlay-toggle").await
        }
        "evaluation" => open_with_annotations(page, tempfile::tempdir()?.path()).await,
        view => {
            page.click(&format!("view-{view}")).await?;
            let shown = "return document.querySelector('main').dataset.view === arguments[0]";
            page.wait_for(shown, vec![json!(view)]).await
        }
    }
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn axe_finds_nothing_on_any_screen_in_light_and_dark() {
    browse(async |page| {
        let mut found = String::new();
        for width in [360, 1280] {
            for scheme in ["light", "dark"] {
                emulate(page, width, scheme).await?;
                for state in ["compare", "gallery and overlay", "evaluation", "benchmark", "variants"] {
                    show(page, state).await?;
                    // What is folded away is on the page too.
                    let unfold = "for (const details of document.querySelectorAll('details')) details.open = true";
                    page.script(unfold, vec![]).await?;
                    let violations = violations(page).await?;
                    if !violations.is_empty() {
                        let _ = writeln!(found, "{state}, {width} pixels, {scheme}:\n{}", report(&violations));
                    }
                }
            }
        }
        ensure!(found.is_empty(), "axe-core finds:\n{found}");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn axe_would_find_something() {
    browse(async |page| {
        page.open().await?;
        let spoil = "document.querySelector('main').insertAdjacentHTML('beforeend', '<button></button>')";
        page.script(spoil, vec![]).await?;
        let violations = violations(page).await?;
        ensure!(violations.iter().any(|violation| violation.id == "button-name"), "{}", report(&violations));
        Ok(())
    });
}
