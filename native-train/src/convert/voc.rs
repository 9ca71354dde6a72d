//! Pascal VOC's folders.

use std::fmt::Write as _;

use anyhow::Result;
use shared_model::voc::{AnnotatedObject, VocBox};

use super::{Conversion, Image, Writer, Written, check_split, stem};

/// Writes the data set. Classes are those that occur: the format has no list of them.
pub(super) fn write(set: &Conversion, writer: &Writer<'_>) -> Result<Written> {
    let mut written = Written::default();
    for split in &set.splits {
        check_split(&split.name)?;
        let mut list = String::new();
        for image in &split.images {
            writer.image("JPEGImages", image)?;
            let name = stem(&image.file_name);
            writer.text(&format!("Annotations/{name}.xml"), &xml(image))?;
            writeln!(list, "{name}")?;
            written.images += 1;
            written.objects += image.objects.len();
        }
        writer.text(&format!("ImageSets/Main/{}.txt", split.name), &list)?;
    }
    Ok(written)
}

fn xml(image: &Image) -> String {
    let [width, height] = image.size;
    let mut xml = format!(
        "<annotation>\n\t<filename>{}</filename>\n\t<size>\n\t\t<width>{width}</width>\n\t\t<height>{height}</height>\n\t\t\
         <depth>3</depth>\n\t</size>\n",
        escaped(&image.file_name)
    );
    for AnnotatedObject { object, .. } in &image.objects {
        let VocBox { xmin, ymin, xmax, ymax } = object.bbox;
        xml += &format!(
            "\t<object>\n\t\t<name>{}</name>\n\t\t<difficult>{}</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>{xmin}</xmin>\n\t\t\t\
             <ymin>{ymin}</ymin>\n\t\t\t<xmax>{xmax}</xmax>\n\t\t\t<ymax>{ymax}</ymax>\n\t\t</bndbox>\n\t</object>\n",
            escaped(&object.class),
            u8::from(object.difficult)
        );
    }
    xml + "</annotation>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
