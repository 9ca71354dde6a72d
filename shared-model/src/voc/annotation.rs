//! Annotation files in Pascal VOC's XML: what they say, and on which line.

use roxmltree::{Document, Node};

use super::{VocBox, VocObject};

/// What an annotation file says. Its boxes are as they stand there: they may be impossible.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotation {
    /// Name of the image's file, where the file tells.
    pub filename: Option<String>,
    /// Width and height in pixels of the image that was annotated, where the file tells: some programs write 0 x 0.
    pub size: Option<ImageSize>,
    /// The objects, in the file's order.
    pub objects: Vec<AnnotatedObject>,
    /// What the image is called in a file about many, which has no lines of its own for it.
    pub entry: Option<String>,
    /// How its boxes were written.
    pub coordinates: Coordinates,
}

/// What the coordinates of an annotation's boxes are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coordinates {
    /// The first and the last pixel of the box, the image's first of which is 1: Pascal VOC's.
    #[default]
    Pixels,
    /// The box's edges in pixels, the image's first edge of which is 1: COCO's plus 1.
    Edges,
    /// The box's edges in parts of the image's width and height, from 0 to 1: YOLO's. See [`Annotation::in_pixels`].
    Parts,
}

/// The size that an annotation says its image has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageSize {
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
    /// Its class, box and flags.
    pub object: VocObject,
    /// Line of its class name, from 1; 0 in files whose objects have numbers instead.
    pub class_line: usize,
    /// Line of its box, from 1; 0 in files whose objects have numbers instead.
    pub box_line: usize,
    /// What COCO's files say beyond.
    pub coco: Option<CocoExtra>,
}

/// What a COCO file says of an object beyond class and box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CocoExtra {
    /// The annotation's id.
    pub id: i64,
    /// In square pixels, where the file tells: of the outline rather than the box.
    pub area: Option<f64>,
}

/// A text that is no annotation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct AnnotationError {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub kind: AnnotationErrorKind,
}

/// What is wrong with an annotation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnotationErrorKind {
    /// No XML, in the parser's words.
    #[error("{0}")]
    NotXml(String),
    /// XML of another kind, with this tag around it all.
    #[error("<{0}> where <annotation> should be")]
    OtherRoot(String),
    /// A tag that must be there is not.
    #[error("there is no <{0}> in it")]
    NoTag(&'static str),
    /// An object without the name of a class.
    #[error("an object has no class name")]
    NoClassName,
    /// A tag's text is no number.
    #[error("<{tag}> is \"{text}\", which is no number")]
    NoNumber {
        /// Its name, without brackets.
        tag: String,
        /// What it holds instead.
        text: String,
    },
    /// A box that ends before it begins, or nowhere.
    #[error("a \"{class}\" has an impossible box: {bbox}")]
    ImpossibleBox {
        /// What the box is around.
        class: String,
        /// Its sides, as they stand there.
        bbox: String,
    },
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
            AnnotationError { line, kind: AnnotationErrorKind::NotXml(error.to_string()) }
        })?;
        let root = document.root_element();
        let lines = Lines::of(xml);
        if !root.has_tag_name("annotation") {
            return Err(lines.wrong(root, AnnotationErrorKind::OtherRoot(root.tag_name().name().into())));
        }
        let size = child(root, "size").map(|tag| lines.size(tag)).transpose()?.flatten();
        let filename = child(root, "filename").map(|tag| text(tag).to_string()).filter(|name| !name.is_empty());
        let objects = root.children().filter(|tag| tag.has_tag_name("object"));
        Ok(Self {
            filename,
            size,
            objects: objects.map(|tag| lines.object(tag)).collect::<Result<_, _>>()?,
            ..Self::default()
        })
    }

    /// Turns parts into edges in pixels of an image of this width and height, which it then has as its size. Other
    /// coordinates are left alone.
    pub fn in_pixels(&mut self, [width, height]: [f64; 2]) {
        if self.coordinates != Coordinates::Parts {
            return;
        }
        self.coordinates = Coordinates::Edges;
        for AnnotatedObject { object, .. } in &mut self.objects {
            let VocBox { xmin, ymin, xmax, ymax } = object.bbox;
            object.bbox = VocBox::from_corners([xmin * width, ymin * height, xmax * width, ymax * height]);
        }
        self.size = Some(ImageSize { width, height, line: 1 });
    }

    /// The objects alone.
    ///
    /// # Errors
    /// Fails where a box is impossible.
    pub fn into_objects(self) -> Result<Vec<VocObject>, AnnotationError> {
        let check = |AnnotatedObject { object, box_line: line, .. }| {
            let VocObject { class, bbox, .. } = &object;
            if bbox.is_impossible() {
                let kind = AnnotationErrorKind::ImpossibleBox { class: class.clone(), bbox: bbox.to_string() };
                return Err(AnnotationError { line, kind });
            }
            Ok(object)
        };
        self.objects.into_iter().map(check).collect()
    }
}

/// Where the lines of a file end: the parser would count them anew for every tag.
struct Lines(Vec<usize>);

impl Lines {
    fn of(xml: &str) -> Self {
        Self(xml.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at).collect())
    }

    /// The line that a tag begins in, from 1.
    fn line(&self, tag: Node<'_, '_>) -> usize {
        1 + self.0.partition_point(|&end| end < tag.range().start)
    }

    fn wrong(&self, tag: Node<'_, '_>, kind: AnnotationErrorKind) -> AnnotationError {
        AnnotationError { line: self.line(tag), kind }
    }

    fn number(&self, tag: Node<'_, '_>) -> Result<f64, AnnotationError> {
        let text = text(tag);
        let no_number = || AnnotationErrorKind::NoNumber { tag: tag.tag_name().name().into(), text: text.into() };
        text.parse().map_err(|_| self.wrong(tag, no_number()))
    }

    fn size(&self, tag: Node<'_, '_>) -> Result<Option<ImageSize>, AnnotationError> {
        let given = |name| child(tag, name).filter(|side| !text(*side).is_empty());
        let (Some(width), Some(height)) = (given("width"), given("height")) else { return Ok(None) };
        let size = ImageSize { width: self.number(width)?, height: self.number(height)?, line: self.line(tag) };
        Ok(Some(size).filter(|size| size.width > 0.0 && size.height > 0.0))
    }

    fn object(&self, tag: Node<'_, '_>) -> Result<AnnotatedObject, AnnotationError> {
        let need =
            |parent, name| child(parent, name).ok_or_else(|| self.wrong(parent, AnnotationErrorKind::NoTag(name)));
        let name = need(tag, "name")?;
        let class = text(name).to_string();
        if class.is_empty() {
            return Err(self.wrong(name, AnnotationErrorKind::NoClassName));
        }
        let difficult = match child(tag, "difficult") {
            Some(difficult) if !text(difficult).is_empty() => self.number(difficult)? != 0.0,
            _ => false,
        };
        let bndbox = need(tag, "bndbox")?;
        let side = |name| self.number(need(bndbox, name)?);
        let bbox = VocBox { xmin: side("xmin")?, ymin: side("ymin")?, xmax: side("xmax")?, ymax: side("ymax")? };
        let object = VocObject { class, difficult, bbox };
        Ok(AnnotatedObject { object, class_line: self.line(name), box_line: self.line(bndbox), coco: None })
    }
}

fn child<'a, 'i>(tag: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    tag.children().find(|child| child.has_tag_name(name))
}

fn text<'a>(tag: Node<'a, '_>) -> &'a str {
    tag.text().unwrap_or_default().trim()
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
        assert_eq!(dog.object, VocObject { class: "dog".into(), difficult: true, bbox });
        assert_eq!((dog.class_line, dog.box_line), (2, 3));
        let VocObject { class, difficult, bbox } = &cat.object;
        assert_eq!((class.as_str(), difficult, bbox.xmax), ("cat", &false, 9.0));
        assert_eq!((cat.class_line, cat.box_line), (6, 5));
    }

    /// A file of a megabyte once took seven seconds: its lines were counted anew for every object.
    #[test]
    fn many_objects_take_no_time() {
        let objects = DOG.split_once("\n").unwrap().1;
        let xml = format!("<annotation>{}</annotation>", format!("{objects}\n").repeat(3000));
        let start = std::time::Instant::now();
        let annotation = Annotation::parse(&xml).unwrap();
        assert_eq!((annotation.objects.len(), annotation.objects[2999].class_line), (3000, 1 + 3 * 2999));
        assert!(start.elapsed() < std::time::Duration::from_secs(1), "{:?}", start.elapsed());
    }

    #[test]
    fn a_image_without_objects_is_fine() {
        let annotation = Annotation::parse(
            "<?xml version=\"1.0\"?>\n<annotation><folder>x</folder><filename>a.jpg</filename>
             <size><height>2</height><width>3</width></size></annotation>",
        );
        let size = Some(ImageSize { width: 3.0, height: 2.0, line: 3 });
        assert_eq!(annotation, Ok(Annotation { filename: Some("a.jpg".into()), size, ..Annotation::default() }));
    }

    #[test]
    fn a_size_of_zero_is_none() {
        for size in
            ["<width>0</width><height>0</height>", "<width>5</width><height/>", "<width>0</width><height>4</height>"]
        {
            let annotation = Annotation::parse(&format!("<annotation><size>{size}</size></annotation>")).unwrap();
            assert_eq!(annotation.size, None, "{size}");
        }
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
            assert!(error.line == line && error.kind.to_string().contains(message), "{what}: {error}");
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
