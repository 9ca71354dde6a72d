//! COCO's JSON.

use anyhow::Result;
use serde::Serialize;

use super::{Conversion, Writer, Written, check_split};

#[derive(Default, Serialize)]
struct Json<'a> {
    images: Vec<Image<'a>>,
    annotations: Vec<Annotation>,
    categories: Vec<Category<'a>>,
}

#[derive(Serialize)]
struct Image<'a> {
    id: i64,
    file_name: &'a str,
    width: usize,
    height: usize,
}

#[derive(Serialize)]
struct Annotation {
    id: i64,
    image_id: i64,
    category_id: i64,
    bbox: [f64; 4],
    area: f64,
    iscrowd: u8,
}

#[derive(Serialize)]
struct Category<'a> {
    id: i64,
    name: &'a str,
    supercategory: &'a str,
}

/// Writes the data set: `annotations/instances_SPLIT.json`, the images in the folder SPLIT. Difficult objects are crowds
/// there, since pycocotools leaves nothing else out.
pub(super) fn write(set: &Conversion, writer: &Writer<'_>) -> Result<Written> {
    let mut written = Written::default();
    for split in &set.splits {
        check_split(&split.name)?;
        let categories =
            set.classes.iter().map(|class| Category { id: class.id, name: &class.name, supercategory: "" });
        let mut json = Json { categories: categories.collect(), ..Json::default() };
        for image in &split.images {
            writer.image(&split.name, image)?;
            let [width, height] = image.size;
            json.images.push(Image { id: image.id, file_name: &image.file_name, width, height });
            for annotated in &image.objects {
                let object = &annotated.object;
                let class = set.classes.iter().find(|class| class.name == object.class);
                let [x1, y1, x2, y2] = object.bbox.corners();
                let [width, height] = [x2 - x1, y2 - y1].map(rounded);
                json.annotations.push(Annotation {
                    id: annotated.coco.map_or(json.annotations.len() as i64 + 1, |coco| coco.id),
                    image_id: image.id,
                    category_id: class.expect("all classes were collected").id,
                    bbox: [x1, y1, width, height],
                    area: annotated.coco.and_then(|coco| coco.area).unwrap_or(rounded(width * height)),
                    iscrowd: u8::from(object.difficult),
                });
            }
            written.images += 1;
            written.objects += image.objects.len();
        }
        writer.text(&format!("annotations/instances_{}.json", split.name), &(serde_json::to_string(&json)? + "\n"))?;
    }
    Ok(written)
}

/// Without what arithmetic leaves behind the ninth decimal.
fn rounded(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}
