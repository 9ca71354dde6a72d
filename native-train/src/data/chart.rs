//! A chart of what is in data sets, as SVG.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::check::DataReport;

/// Width in pixels of both panels together.
const WIDTH: u32 = 1000;

/// Height in pixels of a class's row.
const ROW: u32 = 24;

/// Height in pixels of titles, axes and their labels.
const SURROUNDINGS: u32 = 110;

const IMAGES: RGBColor = RGBColor(0x9e, 0xc5, 0xe8);
const OBJECTS: RGBColor = RGBColor(0x1f, 0x5f, 0x99);
const FONT: &str = "sans-serif";

/// Draws images and objects of each class, and the sizes of boxes.
///
/// # Errors
/// Fails where the charts' library does.
pub fn svg(report: &DataReport) -> Result<String> {
    let height = SURROUNDINGS + ROW * report.classes.len().max(10) as u32;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let draw = || -> Result<(), Box<dyn std::error::Error + '_>> {
            root.fill(&WHITE)?;
            let (left, right) = root.split_horizontally(WIDTH * 3 / 5);
            draw_classes(&left, report)?;
            draw_sizes(&right, report)?;
            root.present()?;
            Ok(())
        };
        // The library's errors borrow from the drawing.
        draw().map_err(|error| anyhow!("the chart cannot be drawn: {error}"))?;
    }
    Ok(svg)
}

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<'a> = Result<(), Box<dyn std::error::Error + 'a>>;

/// A row for each class, the first one on top: a bar for its objects and one for its images.
fn draw_classes<'a>(panel: &Panel<'a>, report: &DataReport) -> Drawn<'a> {
    let rows = report.classes.len();
    let most = report.classes.iter().map(|class| class.objects).max().unwrap_or(0).max(1) as f64;
    let mut chart = ChartBuilder::on(panel)
        .caption("objects (dark) and images (light) per class", (FONT, 16))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(120)
        .build_cartesian_2d(0.0..1.12 * most, rows.max(1) as f64..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .max_light_lines(1)
        .disable_y_axis()
        .y_labels(0)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .draw()?;
    let style = |row_anchor| (FONT, 12).into_font().into_text_style(panel).pos(row_anchor);
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    for (row, class) in report.classes.iter().enumerate() {
        let top = row as f64;
        let bar = |from: f64, to: f64, length: usize, colour: &RGBColor| {
            Rectangle::new([(0.0, top + from), (length as f64, top + to)], colour.filled())
        };
        chart.draw_series([bar(0.15, 0.5, class.objects, &OBJECTS), bar(0.5, 0.85, class.images, &IMAGES)])?;
        let unknown = if class.known { "" } else { " (unknown)" };
        // A space that does not collapse, between name and axis.
        let name = format!("{}{unknown}\u{a0}", class.class);
        let label = |x, text, anchor| Text::new(text, (x, top + 0.5), style(anchor));
        chart.draw_series([
            label(0.0, name, Pos::new(HPos::Right, VPos::Center)),
            label(
                class.objects.max(class.images) as f64 + 0.01 * most,
                class.objects.to_string(),
                Pos::new(HPos::Left, VPos::Center),
            ),
        ])?;
    }
    Ok(())
}

/// A bar for each range of sizes.
fn draw_sizes<'a>(panel: &Panel<'a>, report: &DataReport) -> Drawn<'a> {
    let bins = &report.box_sizes;
    let most = bins.iter().map(|bin| bin.objects).max().unwrap_or(0).max(1) as f64;
    let mut chart = ChartBuilder::on(panel)
        .caption("side of a square of the box's area, at 416 pixels", (FONT, 16))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..bins.len() as f64, 0.0..1.08 * most)?;
    let edge = |x: &f64| bins.get(x.round() as usize).map_or("416".into(), |bin| format!("{:.0}", bin.from));
    chart
        .configure_mesh()
        .disable_x_mesh()
        .max_light_lines(1)
        .x_labels(bins.len() + 1)
        .x_label_formatter(&edge)
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    let bars = bins.iter().enumerate().map(|(i, bin)| {
        Rectangle::new([(i as f64 + 0.08, 0.0), (i as f64 + 0.92, bin.objects as f64)], OBJECTS.filled())
    });
    chart.draw_series(bars)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::check::{ClassReport, SizeReport};

    #[test]
    fn classes_and_their_numbers_are_in_the_chart() {
        let class =
            |class: &str, known, objects| ClassReport { class: class.into(), known, images: 1, objects, difficult: 0 };
        let sizes = [SizeReport { from: 0.0, to: 8.0, objects: 3 }, SizeReport { from: 8.0, to: 416.0, objects: 1 }];
        let classes = vec![class("d & g", true, 4321), class("cta", false, 1)];
        let report = DataReport {
            sources: Vec::new(),
            classes,
            box_sizes: sizes.into(),
            problems: Vec::new(),
            left_out: Vec::new(),
        };
        let chart = svg(&report).unwrap();
        for text in ["4321", "cta (unknown)", "d &amp; g", "416"] {
            assert!(chart.contains(text), "{text}: {chart}");
        }
        roxmltree::Document::parse(&chart).unwrap();
        svg(&DataReport { classes: Vec::new(), box_sizes: Vec::new(), ..report }).unwrap();
    }
}
