//! The charts of the page that are its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Looked, escaped, sides};
use crate::data::check::{ClassReport, DataReport, SizeReport};

/// Cells along each side of the map of positions.
const CELLS: usize = 40;

/// Side in pixels of a cell.
const CELL: usize = 8;

/// Bounds of width to height.
const ASPECTS: [f64; 10] = [0.0, 0.1, 0.2, 0.33, 0.67, 1.5, 3.0, 5.0, 10.0, f64::INFINITY];

/// Sizes of images that have a bar of their own.
const SIZES: usize = 15;

/// How many boxes cover each place of an image, all images drawn to one square.
pub(super) fn positions(images: &[Looked]) -> String {
    let mut counts = vec![0usize; CELLS * CELLS];
    for image in images {
        let Some(size) = image.size else { continue };
        for object in &image.objects {
            let corners = object.bbox.corners();
            if sides(&object.bbox).is_none() || corners.iter().any(|corner| !corner.is_finite()) {
                continue;
            }
            let cell = |value: f64, side: usize| (value / size[side] * CELLS as f64).clamp(0.0, CELLS as f64);
            let [left, top, right, bottom] = [0, 1, 2, 3].map(|i| cell(corners[i], i % 2));
            for y in top as usize..bottom.ceil() as usize {
                for x in left as usize..right.ceil() as usize {
                    counts[y * CELLS + x] += 1;
                }
            }
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let side = CELLS * CELL;
    let mut svg = format!("<svg viewBox=\"0 0 {side} {side}\" width=\"{side}\" height=\"{side}\">\n");
    for (i, count) in counts.iter().enumerate() {
        let (x, y) = (i % CELLS * CELL, i / CELLS * CELL);
        // White where there is none, dark blue where there are most.
        let part = *count as f64 / most as f64;
        let [r, g, b] = [(255.0, 8.0), (255.0, 48.0), (255.0, 107.0)].map(|(none, all)| none + part * (all - none));
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{CELL}\" height=\"{CELL}\" fill=\"rgb({r:.0},{g:.0},{b:.0})\"/>"
        );
    }
    format!("{svg}</svg>\n<p>All images are drawn to one square. Darkest: {most} boxes.</p>")
}

/// How many objects there are of each class, and how many images with some.
pub(super) fn classes(report: &DataReport) -> String {
    let row = |class: &ClassReport| {
        let unknown = if class.known { "" } else { " (unknown)" };
        (format!("{}{unknown}", escaped(&class.class)), vec![class.objects, class.images])
    };
    let rows: Vec<_> = report.classes.iter().map(row).collect();
    format!("<p>Objects (dark) and images (light).</p>\n{}", bars(&rows))
}

/// How many boxes there are of which size.
pub(super) fn box_sizes(report: &DataReport) -> String {
    let row = |size: &SizeReport| (format!("{} to {}", size.from, size.to), vec![size.objects]);
    let rows: Vec<_> = report.box_sizes.iter().map(row).collect();
    let what = "Side of a square of the box's area, in pixels where the image's longer side is 416.";
    format!("<p>{what}</p>\n{}", bars(&rows))
}

/// How many boxes there are of which width to height.
pub(super) fn aspects(images: &[Looked]) -> String {
    let boxes = images.iter().flat_map(|image| &image.objects).filter_map(|object| sides(&object.bbox));
    let aspects: Vec<f64> = boxes.map(|[width, height]| width / height).collect();
    let bars = ASPECTS.windows(2).map(|bounds| {
        let count = aspects.iter().filter(|aspect| (bounds[0]..bounds[1]).contains(*aspect)).count();
        let label = match bounds {
            [_, to] if *to < 0.2 => format!("below {to}"),
            [from, to] if to.is_infinite() => format!("over {from}"),
            [from, to] => format!("{from} to {to}"),
            _ => unreachable!("windows of two"),
        };
        (label, vec![count])
    });
    self::bars(&bars.collect::<Vec<_>>())
}

/// How many images there are of which size: the most frequent ones.
pub(super) fn sizes(images: &[Looked]) -> String {
    let mut counts: BTreeMap<[u64; 2], usize> = BTreeMap::new();
    for size in images.iter().filter_map(|image| image.size) {
        *counts.entry(size.map(|side| side as u64)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let others: usize = counts.iter().skip(SIZES).map(|(_, count)| count).sum();
    let mut bars: Vec<_> = counts
        .iter()
        .take(SIZES)
        .map(|([width, height], count)| (format!("{width} x {height}"), vec![*count]))
        .collect();
    if others > 0 {
        bars.push((format!("{} others", counts.len() - SIZES), vec![others]));
    }
    self::bars(&bars)
}

/// Bars for the numbers of each row, which is a label and as many numbers as the others have. Labels must be safe to write.
fn bars(rows: &[(String, Vec<usize>)]) -> String {
    let most = rows.iter().flat_map(|(_, counts)| counts).copied().max().unwrap_or(0).max(1);
    let mut html = String::from("<div class=\"bars\">\n");
    for (label, counts) in rows {
        let bar = |count: &usize| {
            let width = 80.0 * *count as f64 / most as f64;
            format!("<div><i style=\"width:{width:.1}%\"></i>{count}</div>")
        };
        let bars: String = counts.iter().map(bar).collect();
        let _ = writeln!(html, "<span>{label}</span><span>{bars}</span>");
    }
    html + "</div>"
}
