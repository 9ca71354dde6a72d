//! The charts of a run as SVG.

use plotters::chart::SeriesLabelPosition;
use plotters::coord::Shift;
use plotters::prelude::*;
use shared_model::evaluation::{Confusion, Curve};

use crate::train::metrics::Record;

/// What plotters says where it cannot draw.
type DrawError = Box<dyn std::error::Error>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Points of a curve: more cannot be told apart.
const POINTS: usize = 400;
const FONT: &str = "sans-serif";

/// What a chart is called, what it runs over, and where its curves leave room for their names.
struct Frame<'a> {
    title: &'a str,
    x_label: &'a str,
    legend: SeriesLabelPosition,
}

/// A curve.
struct ChartLine<'a> {
    name: &'a str,
    points: Vec<(f64, f64)>,
}

/// Losses, learning rate and AP over epochs.
pub(super) fn training(records: &[Record]) -> Result<String, DrawError> {
    let of_steps = |value: fn(&crate::train::metrics::StepMetrics) -> f64| -> Vec<(f64, f64)> {
        let steps = records.iter().filter_map(|record| match record {
            Record::Step(step) => Some((step.epoch, value(step))),
            Record::Evaluation(_) => None,
        });
        thinned(&steps.collect::<Vec<_>>())
    };
    let of_evaluations = |value: fn(&crate::train::metrics::Evaluation) -> f64| -> Vec<(f64, f64)> {
        let evaluations = records.iter().filter_map(|record| match record {
            Record::Evaluation(evaluation) => Some((evaluation.epoch, value(evaluation))),
            Record::Step(_) => None,
        });
        evaluations.collect()
    };
    let losses = [
        ChartLine { name: "total", points: of_steps(|step| step.loss) },
        ChartLine { name: "boxes (IoU)", points: of_steps(|step| step.iou) },
        ChartLine { name: "objectness", points: of_steps(|step| step.obj) },
        ChartLine { name: "classes", points: of_steps(|step| step.cls) },
        ChartLine { name: "L1", points: of_steps(|step| step.l1) },
    ];
    let lr = [ChartLine { name: "learning rate", points: of_steps(|step| step.lr) }];
    let ap = [
        ChartLine { name: "AP50", points: of_evaluations(|evaluation| evaluation.ap50) },
        ChartLine { name: "AP", points: of_evaluations(|evaluation| evaluation.ap) },
    ];
    svg((900, 1000), |root| {
        let (top, rest) = root.split_vertically(440);
        let (middle, bottom) = rest.split_vertically(220);
        let frame = |title, legend| Frame { title, x_label: "epoch", legend };
        chart(&top, &frame("loss", SeriesLabelPosition::UpperRight), &losses)?;
        chart(&middle, &frame("learning rate", SeriesLabelPosition::UpperRight), &lr)?;
        chart(&bottom, &frame("validation, per cent", SeriesLabelPosition::UpperLeft), &ap)
    })
}

/// Curves over each other, with their names.
pub(super) fn overlaid(title: &str, x_label: &str, curves: &[(&str, Vec<(f64, f64)>)]) -> Result<String, DrawError> {
    let lines: Vec<ChartLine> =
        curves.iter().map(|(name, points)| ChartLine { name, points: thinned(points) }).collect();
    let frame = Frame { title, x_label, legend: SeriesLabelPosition::UpperLeft };
    svg((900, 700), |root| chart(root, &frame, &lines))
}

/// Precision over recall at IoU .50, of each class.
pub(super) fn precision_recall<'a>(classes: &[(&'a str, Curve)]) -> Result<String, DrawError> {
    let line = |(name, curve): &(&'a str, Curve)| {
        // Before the first object is found, there is nothing to be precise about.
        let points: Vec<_> = curve.points().filter(|&(recall, _)| recall > 0.0).collect();
        ChartLine { name, points: thinned(&points) }
    };
    let lines: Vec<ChartLine<'a>> = classes.iter().map(line).collect();
    let legend = SeriesLabelPosition::LowerLeft;
    let frame = Frame { title: "precision over recall, IoU .50", x_label: "recall", legend };
    svg((900, 700), |root| chart(root, &frame, &lines))
}

/// A square for each pair of classes, darker where more of the annotated class were detected as the other.
pub(super) fn confusion(confusion: &Confusion) -> Result<String, DrawError> {
    const CELL: i32 = 34;
    const MARGIN: i32 = 130;
    let classes = confusion.counts.len() as i32;
    let side = (MARGIN + classes * CELL + 20) as u32;
    let name = |i: usize| confusion.class_names.get(i).map_or("nothing", String::as_str);
    svg((side, side), |root| {
        let text = |size: i32| (FONT, size).into_font().color(&BLACK);
        root.draw(&Text::new("down: annotated, across: detected", (8, 8), text(13)))?;
        for (row, counts) in confusion.counts.iter().enumerate() {
            let y = MARGIN + row as i32 * CELL;
            root.draw(&Text::new(name(row).to_string(), (8, y + 11), text(13)))?;
            let upright = text(13).transform(FontTransform::Rotate270);
            root.draw(&Text::new(name(row).to_string(), (y + 11, MARGIN - 6), upright))?;
            let all = counts.iter().sum::<usize>().max(1);
            for (column, &count) in counts.iter().enumerate() {
                let x = MARGIN + column as i32 * CELL;
                let share = count as f64 / all as f64;
                let colour = if row == column { BLUE.mix(share) } else { RED.mix(share) };
                root.draw(&Rectangle::new([(x, y), (x + CELL - 1, y + CELL - 1)], colour.filled()))?;
                if count > 0 {
                    let ink = if share > 0.5 { &WHITE } else { &BLACK };
                    root.draw(&Text::new(count.to_string(), (x + 4, y + 11), (FONT, 12).into_font().color(ink)))?;
                }
            }
        }
        Ok(())
    })
}

fn svg(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Result<(), DrawError>) -> Result<String, DrawError> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE)?;
        draw(&root)?;
        root.present()?;
    }
    Ok(text)
}

fn chart(area: &Area<'_>, frame: &Frame<'_>, lines: &[ChartLine<'_>]) -> Result<(), DrawError> {
    let points = || lines.iter().flat_map(|line| &line.points);
    // An axis needs some length, even before there is anything to show.
    let end = |value: fn(&(f64, f64)) -> f64| points().map(value).fold(0.0, f64::max).max(1e-6);
    let mut chart = ChartBuilder::on(area)
        .caption(frame.title, (FONT, 18))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..end(|point| point.0), 0.0..1.05 * end(|point| point.1))?;
    // Learning rates are too small for the library's one significant digit.
    let label = |value: &f64| ((value * 1e7).round() / 1e7).to_string();
    chart.configure_mesh().x_desc(frame.x_label).y_label_formatter(&label).light_line_style(WHITE).draw()?;
    for (i, line) in lines.iter().enumerate() {
        let colour = Palette99::pick(i).to_rgba();
        let drawn = chart.draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?;
        drawn.label(line.name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    let legend = &mut chart.configure_series_labels();
    legend.background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).position(frame.legend.clone()).draw()?;
    Ok(())
}

/// Means of neighbouring points, where there are too many.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let together = points.len().div_ceil(POINTS).max(1);
    let mean = |chunk: &[(f64, f64)]| {
        let count = chunk.len() as f64;
        (chunk.iter().map(|point| point.0).sum::<f64>() / count, chunk.iter().map(|point| point.1).sum::<f64>() / count)
    };
    points.chunks(together).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::metrics::{Evaluation, StepMetrics};

    #[test]
    fn curves_of_any_length_can_be_drawn() {
        for steps in [0, 1, 5000] {
            let step = |i: usize| Record::Step(StepMetrics { epoch: i as f64, loss: 9.0, ..StepMetrics::default() });
            let mut records: Vec<Record> = (0..steps).map(step).collect();
            let (iteration, epoch) = (1, 1.0);
            let evaluation = Evaluation { iteration, epoch, ap: 1.0, ap50: 2.0, best: true, seconds: 1.0 };
            records.push(Record::Evaluation(evaluation));
            let svg = training(&records).unwrap();
            assert!(svg.ends_with("</svg>\n") && svg.contains("objectness") && svg.len() < 200_000, "{}", svg.len());
        }
    }

    #[test]
    fn matrices_and_precisions_name_their_classes() {
        let confusion = Confusion {
            class_names: vec!["cat".into(), "dog".into()],
            min_score: 0.25,
            counts: vec![vec![7, 1, 0], vec![0, 0, 1], vec![1, 0, 0]],
        };
        let svg = super::confusion(&confusion).unwrap();
        assert!(["cat", "dog", "nothing", "7"].iter().all(|text| svg.contains(text)));
        // A cell's colour is as strong as its count's share of the row's, at the row's and the column's place.
        let cell = |x: u32, y: u32| {
            let start = svg.find(&format!("<rect x=\"{x}\" y=\"{y}\" width=\"33\" height=\"33\" opacity=\""));
            // What cannot be seen is not drawn.
            start.map_or(0.0, |start| svg[start..].split('"').nth(9).unwrap().parse::<f64>().unwrap())
        };
        for (row, counts) in confusion.counts.iter().enumerate() {
            let all = counts.iter().sum::<usize>().max(1) as f64;
            for (column, &count) in counts.iter().enumerate() {
                let found = cell(130 + 34 * column as u32, 130 + 34 * row as u32);
                assert!((found - count as f64 / all).abs() < 1e-3, "{row}, {column}: {found}");
            }
        }
        let svg = precision_recall(&[("cat", Curve::new(&[], &[], 0.5))]).unwrap();
        assert!(svg.contains("cat"));
    }

    #[test]
    fn thinned_points_keep_the_mean() {
        let points: Vec<(f64, f64)> = (0..1000).map(|i| (f64::from(i), 2.0)).collect();
        let thin = thinned(&points);
        assert!(thin.len() <= POINTS && thin.iter().all(|point| point.1 == 2.0));
        assert_eq!(thin[0].0, 1.0);
    }
}
