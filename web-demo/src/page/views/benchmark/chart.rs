//! Accuracy against time, as SVG. Its colours come from the page's style sheet, so that it is light or dark like the page.

use leptos::prelude::*;
use plotters::prelude::*;

use super::BenchmarkRow;
use crate::page::language::text;

/// Width and height in units of the drawing; on the page it is as wide as there is room.
const SIZE: (u32, u32) = (760, 380);
/// Height of a name, and its width at most, in the same units.
const LINE: i32 = 17;
const NAME: i32 = 150;
const FONT: (&str, u32) = ("system-ui, sans-serif", 15);

/// A point for every model that has been measured and has a score.
#[component]
pub fn Chart(lines: Memo<Vec<BenchmarkRow>>) -> impl IntoView {
    let svg = Memo::new(move |_| {
        let point = |line: &BenchmarkRow| Some((line.name.clone(), line.milliseconds()?, line.accuracy?));
        let points: Vec<_> = lines.read().iter().filter_map(point).collect();
        (!points.is_empty()).then(|| draw(&points).unwrap_or_default())
    });
    view! {
        <Show when=move || svg.read().is_some()>
            <figure class="card chart" data-testid="bench-chart">
                <div role="img" aria-label=move || text!("AP50 against milliseconds; the table has the figures")
                    inner_html=move || svg.get().unwrap_or_default()></div>
                <figcaption class="hint">{move || text!("Further up is more accurate, further left is faster.")}</figcaption>
            </figure>
        </Show>
    }
}

/// Name, milliseconds and AP50 of every model, as a drawing.
fn draw(points: &[(String, f64, f64)]) -> Result<String, Box<dyn std::error::Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let (least, most) = range(points.iter().map(|(_, _, ap)| *ap));
        let slowest = points.iter().map(|(_, ms, _)| *ms).fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(58)
            // Room for the names right of the points.
            .build_cartesian_2d(0.0..slowest * 1.3, least..most)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc(text!("Milliseconds a picture, on this device"))
            .y_desc(text!("AP50 on VOC2007 (%)"))
            .label_style(FONT)
            .axis_desc_style(FONT)
            .x_label_formatter(&|ms| format!("{ms:.0}"))
            .y_label_formatter(&|ap| format!("{ap:.0}"))
            .draw()?;
        let mut taken: Vec<(i32, i32)> = Vec::new();
        for (name, ms, ap) in points {
            let (x, y) = chart.plotting_area().map_coordinate(&(*ms, *ap));
            // On no other name: beside the point, else below, above ...
            let lines = [0, 1, -1, 2, -2].map(|line| line * LINE);
            let is_free =
                |line: &&i32| !taken.iter().any(|at| (at.0 - x).abs() < NAME && (at.1 - y - **line).abs() < LINE);
            let line = *lines.iter().find(is_free).unwrap_or(&0);
            taken.push((x, y + line));
            chart.draw_series([Circle::new((*ms, *ap), 6, BLUE.filled())])?;
            chart.draw_series([EmptyElement::at((*ms, *ap)) + Text::new(name.clone(), (11, line - 7), FONT)])?;
        }
        root.present()?;
    }
    Ok(svg)
}

/// Whole tens around the figures.
fn range(figures: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, most) = figures.fold((100.0_f64, 0.0_f64), |(least, most), ap| (least.min(ap), most.max(ap)));
    (((least - 5.0) / 10.0).floor().max(0.0) * 10.0, ((most + 5.0) / 10.0).ceil().min(10.0) * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_points_close_together_do_not_overlap() {
        let svg = draw(&[("one".into(), 30.0, 75.0), ("other".into(), 30.2, 75.2)]).unwrap();
        let line = |name: &str| {
            let text = svg.split("<text ").find(|text| text.contains(&format!("\n{name}\n"))).unwrap();
            text.split_once(" y=\"").unwrap().1.split_once('"').unwrap().0.parse::<i32>().unwrap()
        };
        assert!((line("one") - line("other")).abs() >= LINE - 2, "{svg}");
    }

    #[test]
    fn every_model_is_a_point_with_its_name_and_better_is_higher() {
        let svg = draw(&[("slow".into(), 30.0, 75.0), ("fast".into(), 10.0, 50.0)]).unwrap();
        let circles: Vec<(f64, f64)> = svg
            .split("<circle ")
            .skip(1)
            .map(|circle| {
                let attribute = |name: &str| {
                    let rest = circle.split_once(&format!("{name}=\"")).unwrap().1;
                    rest.split_once('"').unwrap().0.parse().unwrap()
                };
                (attribute("cx"), attribute("cy"))
            })
            .collect();
        assert_eq!(circles.len(), 2);
        assert!(circles[0].0 > circles[1].0 && circles[0].1 < circles[1].1, "{circles:?}");
        assert!(svg.contains("slow") && svg.contains("fast"));
        // The page's security policy forbids styles in attributes.
        assert!(!svg.contains("style="), "{svg}");
    }
}
