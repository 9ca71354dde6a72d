//! A small data set that is drawn: rectangles on grey.

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};

/// Writes `images` images of 96 x 96 pixels into `folder`, in Pascal VOC's layout, all of them in the split `train`. Each has a red or a
/// green rectangle, of the class `red` or `green`.
///
/// # Panics
/// Panics where a file cannot be written.
pub fn write_voc(folder: &Path, images: u32) {
    for part in ["JPEGImages", "Annotations", "ImageSets/Main"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    let mut names = Vec::new();
    for i in 0..images {
        let name = format!("image{i}");
        drawn(i).save(folder.join(format!("JPEGImages/{name}.jpg"))).unwrap();
        let [left, top, right, bottom] = sides(i);
        let class = if i % 2 == 0 { "red" } else { "green" };
        annotate(folder, &name, class, [left + 1, top + 1, right, bottom]);
        names.push(name);
    }
    fs::write(folder.join("ImageSets/Main/train.txt"), names.join("\n")).unwrap();
}

/// Where the rectangle of image `i` begins and ends.
fn sides(i: u32) -> [u32; 4] {
    let (left, top) = (8 + 29 * i % 40, 6 + 17 * i % 36);
    [left, top, left + 30 + 3 * (i % 4), top + 44 - 4 * (i % 3)]
}

/// Image `i` of the data set.
pub fn drawn(i: u32) -> RgbImage {
    let [left, top, right, bottom] = sides(i);
    let colour = if i.is_multiple_of(2) { [220, 30, 30] } else { [30, 200, 40] };
    let inside = |x, y| (left..right).contains(&x) && (top..bottom).contains(&y);
    let grey = |x: u32, y: u32| [(90 + (x * 7 + y * 13 + i * 31) % 40) as u8; 3];
    RgbImage::from_fn(96, 96, |x, y| Rgb(if inside(x, y) { colour } else { grey(x, y) }))
}

/// Writes the annotation of an image of 96 x 96 pixels with one object.
///
/// # Panics
/// Panics where the file cannot be written.
pub fn annotate(folder: &Path, image: &str, class: &str, bbox: [u32; 4]) {
    fs::write(folder.join(format!("Annotations/{image}.xml")), annotation(class, bbox)).unwrap();
}

/// Such an annotation.
pub fn annotation(class: &str, [xmin, ymin, xmax, ymax]: [u32; 4]) -> String {
    format!(
        "<annotation><size><width>96</width><height>96</height></size><object><name>{class}</name><bndbox>\
         <xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object></annotation>"
    )
}
