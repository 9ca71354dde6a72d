//! What is in data sets as one page for a browser, without any other file: charts, and sheets of images with their boxes, those that
//! look wrong first.

mod charts;
mod samples;
mod suspicion;

use shared_model::voc::VocBox;

use super::check::{Checked, Looked};
use super::problem::Problem;
use super::source::Source;
use crate::table::grouped;

/// Images on each of the two sheets.
const SAMPLES: usize = 24;

/// Problems that are listed; all are in the JSON.
const LISTED: usize = 200;

/// An image with what is odd about it.
struct Sample<'a> {
    image: &'a Looked,
    /// What is wrong with it, or merely odd.
    reasons: Vec<String>,
    /// The more, the odder.
    weight: f64,
}

/// Writes the page about `sources`, which were `checked`.
pub fn page(sources: &[Source], Checked { report, images }: &Checked) -> String {
    let most = suspicion::usual_count(images.iter().map(|image| image.objects.len()));
    let sample = |image| {
        let (reasons, weight) = suspicion::of(image, most);
        Sample { image, reasons, weight }
    };
    let samples: Vec<Sample<'_>> = images.iter().map(sample).collect();

    let mut order: Vec<usize> = (0..samples.len()).filter(|&i| samples[i].weight > 0.0).collect();
    order.sort_by(|&a, &b| samples[b].weight.total_cmp(&samples[a].weight));
    order.truncate(SAMPLES);
    let others: Vec<&Sample<'_>> =
        samples.iter().enumerate().filter(|(i, _)| !order.contains(i)).map(|(_, sample)| sample).collect();
    let step = others.len().div_ceil(SAMPLES).max(1);
    let even: Vec<&Sample<'_>> = others.into_iter().step_by(step).collect();
    let order: Vec<&Sample<'_>> = order.into_iter().map(|i| &samples[i]).collect();
    let classes: Vec<&str> = report.classes.iter().map(|class| class.class.as_str()).collect();

    let names: Vec<String> = sources.iter().map(ToString::to_string).collect();
    let title = escaped(&names.join(", "));
    // Paths may break where folders end.
    let heading = title.replace('/', "/<wbr>");
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <h1>{heading}</h1>\n"
    );
    for (source, name) in report.sources.iter().zip(&names) {
        let name = if names.len() > 1 { escaped(name) + ": " } else { String::new() };
        let (images, objects) = (grouped(source.images as u64), grouped(source.objects as u64));
        html += &format!("<p>{name}{images} images, {objects} objects</p>\n");
    }
    section(&mut html, "Classes", &charts::classes(report));
    section(&mut html, "Sizes of boxes", &charts::box_sizes(report));
    section(&mut html, "Where objects are", &charts::positions(images));
    section(&mut html, "Width of boxes to their height", &charts::aspects(images));
    section(&mut html, "Sizes of images", &charts::sizes(images));
    section(&mut html, "Problems", &problems(&report.problems));
    let sheet = |samples: &[&Sample<'_>]| samples::sheet(samples, &classes);
    section(&mut html, "Look at these first", &sheet(&order));
    section(&mut html, "Others, evenly spread", &sheet(&even));
    html + "</html>\n"
}

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}\
    h1{font-size:1.4em;overflow-wrap:anywhere}h2{font-size:1.15em;margin-top:2em}svg{max-width:100%;height:auto}\
    .bars{display:grid;grid-template-columns:fit-content(40%) 1fr;gap:2px 8px;overflow-wrap:anywhere}.bars i{display:inline-block;background:#1f5f99;\
    height:1em;vertical-align:-2px;margin-right:6px}.bars div:nth-child(2){color:#666;font-size:11px;line-height:1.1}\
    .bars div:nth-child(2) i{background:#9ec5e8}.sheet{display:grid;gap:12px;\
    grid-template-columns:repeat(auto-fill,minmax(220px,1fr))}figure{margin:0}figure img{max-width:100%}\
    figcaption{font-size:13px;overflow-wrap:anywhere}li{overflow-wrap:anywhere}";

fn section(html: &mut String, title: &str, content: &str) {
    html.push_str(&format!("<h2>{title}</h2>\n{content}\n"));
}

/// Width and height of a box in pixels, where it has some.
fn sides(bbox: &VocBox) -> Option<[f64; 2]> {
    let [x1, y1, x2, y2] = bbox.corners();
    (x2 > x1 && y2 > y1).then_some([x2 - x1, y2 - y1])
}

fn problems(problems: &[Problem]) -> String {
    if problems.is_empty() {
        return "<p>None.</p>".into();
    }
    let mut html = String::from("<ul>\n");
    for problem in problems.iter().take(LISTED) {
        html += &format!("<li>{}</li>\n", escaped(&problem.to_string()));
    }
    html += "</ul>\n";
    if problems.len() > LISTED {
        let more = grouped((problems.len() - LISTED) as u64);
        html += &format!("<p>And {more} more: yolox-nano check-data --json lists them all.</p>\n");
    }
    html
}

/// What may stand in text and in an attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Reading;
    use crate::data::check::check;
    use crate::data::testing::{VocBuilder, object};

    #[test]
    fn the_page_stands_alone_and_shows_odd_images_first() {
        let voc = VocBuilder::new();
        let good = object("d&lt;o>g", [5.0, 5.0, 30.0, 25.0]);
        for i in 0..30 {
            voc.image(&format!("good{i}"), 40 + i, 30, &good);
        }
        voc.image("long", 200, 100, &object("d&lt;o>g", [10.0, 10.0, 150.0, 12.0]));
        voc.image("twice", 41, 31, &format!("{good}{}", object("d&lt;o>g", [5.0, 5.0, 30.0, 26.0])));
        let names: Vec<String> = (0..30).map(|i| format!("good{i}")).chain(["long".into(), "twice".into()]).collect();
        voc.split("train", &names.iter().map(String::as_str).collect::<Vec<_>>());
        let sources = [voc.source("train")];
        let html = page(&sources, &check(&sources, None, &Reading::default()).unwrap());
        let first = &html[html.find("Look at these first").unwrap()..html.find("Others, evenly").unwrap()];
        assert!(first.contains("long:") && first.contains("twice:") && !first.contains("good"), "{first:.2000}");
        assert_eq!(html.matches("data:image/jpeg;base64,").count(), 2 + 15);
        assert!(!html.contains("d<o>g") && html.contains("d&lt;o&gt;g"));
        assert!(!html.contains("<script") && !html.contains("<link"));
        assert!(!html.contains("http"), "nothing is fetched");
    }
}
