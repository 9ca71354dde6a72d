//! Annotation files in Pascal VOC's XML: what they say, and on which line.

use roxmltree::{Document, Node};

use super::{Object, VocBox};

/// What an annotation file says. Its boxes are as they stand there: they may be impossible.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotation {
    /// Name of the picture's file, where the file tells.
    pub filename: Option<String>,
    /// Width and height in pixels of the picture that was annotated, where the file tells.
    pub size: Option<Size>,
    /// The objects, in the file's order.
    pub objects: Vec<AnnotatedObject>,
}

/// The size that an annotation says its picture has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// In pixels.
    pub width: f64,
    /// In pixels.
    pub height: f64,
    /// Line of the tag, from 1.
    pub line: usize,
}

/// An object, and where the file tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct AnnotatedObject {
    /// The object.
    pub object: Object,
    /// Line of its class name, from 1.
    pub class_line: usize,
    /// Line of its box, from 1.
    pub box_line: usize,
}

/// A text that is no annotation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct AnnotationError {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl Annotation {
    /// Reads the text of an annotation file. All tags are optional but those of an object's class and box.
    ///
    /// # Errors
    /// Fails where the text is no XML, or is not an annotation's, telling the line.
    pub fn parse(xml: &str) -> Result<Self, AnnotationError> {
        let document = Document::parse(xml).map_err(|error| {
            // Of a file cut short the parser tells the beginning.
            let cut = matches!(error, roxmltree::Error::UnclosedRootNode);
            let line = if cut { xml.lines().count() } else { error.pos().row as usize };
            AnnotationError { line, message: error.to_string() }
        })?;
        let root = document.root_element();
        if !root.has_tag_name("annotation") {
            return Err(wrong(root, format!("<{}> where <annotation> should be", root.tag_name().name())));
        }
        let size = child(root, "size").map(size).transpose()?.flatten();
        let filename = child(root, "filename").map(|tag| text(tag).to_string()).filter(|name| !name.is_empty());
        let objects = root.children().filter(|tag| tag.has_tag_name("object"));
        Ok(Self { filename, size, objects: objects.map(object).collect::<Result<_, _>>()? })
    }

    /// The objects alone.
    ///
    /// # Errors
    /// Fails where a box is impossible.
    pub fn into_objects(self) -> Result<Vec<Object>, AnnotationError> {
        let check = |AnnotatedObject { object, box_line: line, .. }| {
            let Object { class, bbox, .. } = &object;
            if bbox.is_impossible() {
                return Err(AnnotationError { line, message: format!("a \"{class}\" has an impossible box: {bbox}") });
            }
            Ok(object)
        };
        self.objects.into_iter().map(check).collect()
    }
}

fn size(tag: Node<'_, '_>) -> Result<Option<Size>, AnnotationError> {
    let (Some(width), Some(height)) = (child(tag, "width"), child(tag, "height")) else { return Ok(None) };
    Ok(Some(Size { width: number(width)?, height: number(height)?, line: line(tag) }))
}

fn object(tag: Node<'_, '_>) -> Result<AnnotatedObject, AnnotationError> {
    let need = |parent, name| child(parent, name).ok_or_else(|| wrong(parent, format!("there is no <{name}> in it")));
    let name = need(tag, "name")?;
    let class = text(name).to_string();
    if class.is_empty() {
        return Err(wrong(name, "an object has no class name".into()));
    }
    let difficult = match child(tag, "difficult") {
        Some(difficult) if !text(difficult).is_empty() => number(difficult)? != 0.0,
        _ => false,
    };
    let bndbox = need(tag, "bndbox")?;
    let side = |name| number(need(bndbox, name)?);
    let bbox = VocBox { xmin: side("xmin")?, ymin: side("ymin")?, xmax: side("xmax")?, ymax: side("ymax")? };
    Ok(AnnotatedObject { object: Object { class, difficult, bbox }, class_line: line(name), box_line: line(bndbox) })
}

fn child<'a, 'i>(tag: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    tag.children().find(|child| child.has_tag_name(name))
}

fn text<'a>(tag: Node<'a, '_>) -> &'a str {
    tag.text().unwrap_or_default().trim()
}

fn number(tag: Node<'_, '_>) -> Result<f64, AnnotationError> {
    let text = text(tag);
    text.parse().map_err(|_| wrong(tag, format!("<{}> is \"{text}\", which is no number", tag.tag_name().name())))
}

fn line(tag: Node<'_, '_>) -> usize {
    tag.document().text_pos_at(tag.range().start).row as usize
}

fn wrong(tag: Node<'_, '_>, message: String) -> AnnotationError {
    AnnotationError { line: line(tag), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOG: &str = "<annotation><filename/><size><width>9</width></size>\n<object><name> dog </name><pose>Left</pose>
        <difficult>1</difficult><bndbox><xmin>1</xmin><ymin>2.5</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>
        <part><name>head</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>2</xmax><ymax>3</ymax></bndbox></part></object>";

    #[test]
    fn reads_objects_with_their_lines_and_ignores_their_parts() {
        let annotation = Annotation::parse(&format!(
            "{DOG}<segmented>0</segmented>\n<object><bndbox><xmax>9</xmax><xmin>8</xmin><ymin>7</ymin><ymax>7</ymax>
             </bndbox><name>cat</name></object></annotation>"
        ))
        .unwrap();
        assert_eq!((&annotation.size, &annotation.filename), (&None, &None), "without a height, without a name");
        let [dog, cat] = &annotation.objects[..] else { panic!("{annotation:?}") };
        let bbox = VocBox { xmin: 1.0, ymin: 2.5, xmax: 3.0, ymax: 4.0 };
        assert_eq!(dog.object, Object { class: "dog".into(), difficult: true, bbox });
        assert_eq!((dog.class_line, dog.box_line), (2, 3));
        let Object { class, difficult, bbox } = &cat.object;
        assert_eq!((class.as_str(), difficult, bbox.xmax), ("cat", &false, 9.0));
        assert_eq!((cat.class_line, cat.box_line), (6, 5));
    }

    #[test]
    fn a_picture_without_objects_is_fine() {
        let annotation = Annotation::parse(
            "<?xml version=\"1.0\"?>\n<annotation><folder>x</folder><filename>a.jpg</filename>
             <size><height>2</height><width>3</width></size></annotation>",
        );
        let size = Some(Size { width: 3.0, height: 2.0, line: 3 });
        assert_eq!(annotation, Ok(Annotation { filename: Some("a.jpg".into()), size, objects: Vec::new() }));
    }

    #[test]
    fn damage_is_told_with_its_line() {
        for (what, xml, line, message) in [
            ("cut short", DOG.to_string(), 4, ""),
            ("empty", String::new(), 1, ""),
            ("without a box", "<annotation>\n<object><name>dog</name></object></annotation>".into(), 2, "no <bndbox>"),
            ("without a name", format!("{}</annotation>", DOG.replace("> dog <", "> <")), 2, "no class name"),
            ("no number", format!("{}</annotation>", DOG.replace("<xmax>3</xmax>", "<xmax>x</xmax>")), 3, "\"x\""),
            // A file of another kind has no objects either, so that its root must be checked.
            ("other file", "<html><body>404</body></html>".into(), 1, "<html>"),
        ] {
            let error = Annotation::parse(&xml).expect_err(what);
            assert!(error.line == line && error.message.contains(message), "{what}: {error}");
        }
    }

    #[test]
    fn impossible_boxes_are_refused_with_their_line() {
        let xml = |xmax: &str| {
            format!(
                "<annotation><object><name>dog</name>\n<bndbox><xmin>5</xmin><ymin>1</ymin><xmax>{xmax}</xmax>
                 <ymax>9</ymax></bndbox></object></annotation>"
            )
        };
        let objects = |xml: &str| Annotation::parse(xml).unwrap().into_objects();
        assert_eq!(objects(&xml("5")).unwrap()[0].bbox.xmax, 5.0, "a pixel wide");
        for xmax in ["4.9", "NaN", "inf"] {
            let error = objects(&xml(xmax)).unwrap_err().to_string();
            assert!(error.contains("line 2") && error.contains("impossible"), "{xmax}: {error}");
        }
    }
}
