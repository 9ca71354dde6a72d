//! The view of the variants: its figures are the manifest's, its drawing is the graph.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use shared_model::{Manifest, Protocol, VARIANTS, Variant, cost};

use crate::browser::browse;
use crate::page::Page;

fn published() -> Manifest {
    Manifest::from_json(include_str!("../../../models/manifest.json")).expect("the manifest")
}

/// Goes to the view and waits for the tables.
async fn open(page: &Page) -> Result<()> {
    page.visit_at("#view=variants").await?;
    page.wait_for("return Boolean(document.querySelector('[data-testid=classes]'))", vec![]).await
}

async fn draw(page: &Page, variant: &str) -> Result<()> {
    let script = "const select = document.querySelector('[data-testid=network-variant]');
        select.value = arguments[0];
        select.dispatchEvent(new Event('change', { bubbles: true }));";
    page.script(script, vec![json!(variant)]).await?;
    let shown =
        "return document.querySelector('[data-testid=difference-summary]').textContent.startsWith(arguments[0] + ':')";
    page.wait_for(shown, vec![json!(variant)]).await
}

/// Names of the layers that are drawn, in order, and how each differs from the baseline.
async fn drawn(page: &Page) -> Result<Vec<(String, String)>> {
    let script = "return Array.from(document.querySelectorAll('[data-testid=layer]'), cell =>
        [cell.dataset.layer, cell.dataset.difference])";
    Ok(serde_json::from_value(page.script(script, vec![]).await?)?)
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn the_tables_of_results_are_the_manifest_and_sort() {
    browse(async |page| {
        open(page).await?;
        let script = "return Array.from(document.querySelectorAll('[data-testid=result]'), row => ({
            variant: row.dataset.variant,
            comparison: row.closest('table').dataset.comparison,
            model: row.dataset.model ?? null,
            ...Object.fromEntries(Array.from(row.querySelectorAll('[data-key]'), cell => [cell.dataset.key, cell.textContent.trim()])),
        }))";
        let rows: Vec<BTreeMap<String, Value>> = serde_json::from_value(page.script(script, vec![]).await?)?;
        for model in &published().models {
            let row = rows.iter().find(|row| row["model"] == json!(model.name)).with_context(|| model.name.clone())?;
            let comparison = match model.protocol {
                Some(Protocol::Random) => "random",
                Some(Protocol::Teacher) => "teacher",
                None => "others",
            };
            ensure!(row["comparison"] == comparison, "{row:?}");
            ensure!(row["ap50"] == json!(format!("{:.2}", model.voc2007_ap50.unwrap())), "{row:?}");
            ensure!(row["ap"] == json!(format!("{:.2}", model.voc2007_ap.unwrap())), "{row:?}");
            ensure!(row["gflops"] == json!(format!("{:.4}", model.gflops)), "{row:?}");
            let parameters = row["parameters"].as_str().unwrap().replace(',', "");
            ensure!(parameters == model.parameters.to_string(), "{row:?}");
        }
        for variant in &VARIANTS {
            ensure!(rows.iter().any(|row| row["variant"] == json!(variant.name)), "{} is missing", variant.name);
        }

        page.click("sort-Parameters").await?;
        let sorted = "const header = document.querySelector('[data-testid=sort-Parameters]').closest('th');
            const figures = Array.from(header.closest('table').querySelectorAll('[data-testid=result] [data-key=parameters]'),
                cell => Number(cell.textContent.replaceAll(',', '')));
            return [header.ariaSort, figures];";
        let (order, figures): (String, Vec<f64>) = serde_json::from_value(page.script(sorted, vec![]).await?)?;
        ensure!(order == "descending" && figures.is_sorted_by(|a, b| a >= b), "{order}: {figures:?}");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn classes_and_curves_are_those_of_the_manifest() {
    browse(async |page| {
        open(page).await?;
        let script = "return Array.from(document.querySelectorAll('[data-testid=class]'), row =>
            [row.dataset.class, Array.from(row.querySelectorAll('td'), cell => Number(cell.dataset.ap50))])";
        let rows: Vec<(String, Vec<f64>)> = serde_json::from_value(page.script(script, vec![]).await?)?;
        ensure!(rows.len() == 20, "{} classes", rows.len());
        let models = published().models;
        for (class, figures) in rows {
            let expected: Vec<f64> = models.iter().map(|model| model.voc2007_classes[&class]).collect();
            ensure!(figures == expected, "{class}: {figures:?}, not {expected:?}");
        }

        let with_curves: Vec<_> =
            models.iter().filter(|model| model.curves.is_some()).map(|model| &model.name).collect();
        let script = "const pictures = Array.from(document.querySelectorAll('[data-testid=curves] img'));
            pictures.forEach(picture => { picture.loading = 'eager'; });
            return pictures.every(picture => picture.complete && picture.naturalWidth > 0 && picture.alt)
                && pictures.map(picture => picture.closest('figure').dataset.model).join() === arguments[0].join();";
        page.wait_for(script, vec![json!(with_curves)]).await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn the_drawing_is_the_graph_and_marks_what_differs() {
    browse(async |page| {
        open(page).await?;
        for variant in ["baseline", "ghost", "final"] {
            draw(page, variant).await?;
            let graph = Variant::named(variant)?.graph(20);
            let cells = drawn(page).await?;
            let names: Vec<_> = graph.layers.iter().map(|layer| layer.name.as_str()).collect();
            ensure!(cells.iter().map(|(name, _)| name.as_str()).eq(names), "{variant}: other layers are drawn");
            let lines = "return document.querySelectorAll('[data-testid=plan] .lines:not(.touched) path').length";
            let inputs: usize = graph.layers.iter().map(|layer| layer.inputs.len()).sum();
            ensure!(page.script(lines, vec![]).await? == json!(inputs), "{variant}: other lines");
            let marked = cells.iter().filter(|(_, difference)| difference != "same").count();
            ensure!((marked == 0) == (variant == "baseline"), "{variant}: {marked} layers are marked");
        }
        let difference = |cells: &[(String, String)], name: &str| {
            cells.iter().find(|(layer, _)| layer == name).map(|(_, difference)| difference.clone())
        };
        let cells = drawn(page).await?;
        for (name, expected) in [
            ("backbone.backbone.stem.conv", "same"),
            ("backbone.backbone.dark3.0.dconv", "changed"),
            ("backbone.backbone.dark3.1.m.0.conv2", "changed"),
            ("backbone.bu_conv3.dconv", "added"),
        ] {
            ensure!(difference(&cells, name).as_deref() == Some(expected), "{name} is not {expected}");
        }
        let groups = page.text("difference-groups").await?;
        ensure!(groups.contains("depthwise 3x3 \u{2192} depthwise 5x5"), "{groups}");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn pointer_and_keys_show_a_layer() {
    browse(async |page| {
        open(page).await?;
        draw(page, "final").await?;
        let graph = Variant::named("final")?.graph(20);
        let costs = cost(&graph, 416, 416);
        let expect = async |i: usize| -> Result<()> {
            let layer = &graph.layers[i];
            page.wait_for(
                "return document.querySelector('[data-testid=card-name]').textContent === arguments[0]",
                vec![json!(layer.name)],
            )
            .await?;
            ensure!(page.text("card-op").await? == layer.op.to_string());
            let [channels, height, width] = costs.layers[i].shape;
            let shape = page.text("card-shape").await?;
            ensure!(shape == format!("{channels} channels of {height} \u{d7} {width}"), "{shape}");
            let mflops = page.text("card-mflops").await?;
            ensure!(mflops.starts_with(&format!("{:.2} ", costs.layers[i].flops as f64 / 1e6)), "{mflops}");
            Ok(())
        };
        let at =
            graph.layers.iter().position(|layer| layer.name == "backbone.C3_p3.m.0.conv2.dconv").context("layer")?;
        let middle = "const cell = document.querySelectorAll('[data-testid=layer]')[arguments[0]];
            cell.scrollIntoView({ block: 'center', inline: 'center' });
            const box = cell.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];";
        let (x, y): (f64, f64) = serde_json::from_value(page.script(middle, vec![json!(at)]).await?)?;
        page.devtools("Input.dispatchMouseEvent", json!({ "type": "mouseMoved", "x": x, "y": y })).await?;
        expect(at).await?;

        page.script("document.querySelectorAll('[data-testid=layer]')[arguments[0]].focus()", vec![json!(at)]).await?;
        for (key, place) in [("ArrowRight", at + 1), ("End", graph.layers.len() - 1), ("Home", 0)] {
            page.devtools("Input.dispatchKeyEvent", json!({ "type": "keyDown", "key": key, "code": key })).await?;
            expect(place).await?;
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn layers_are_timed_here() {
    browse(async |page| {
        open(page).await?;
        draw(page, "dw3").await?;
        ensure!(page.text("card-time").await? == "not measured yet");
        page.click("profile").await?;
        let timed = "return document.querySelector('[data-testid=plan]').classList.contains('shares')";
        page.wait_for(timed, vec![]).await?;
        page.click("all-layers").await?;
        let script = "return Array.from(document.querySelectorAll('[data-testid=layers] tbody tr td:nth-of-type(6)'),
            cell => parseFloat(cell.textContent) || 0).reduce((a, b) => a + b, 0)";
        let sum = page.script(script, vec![]).await?.as_f64().context("a sum")?;
        ensure!(sum > 1.0 && sum < 5000.0, "{sum} ms");
        Ok(())
    });
}
