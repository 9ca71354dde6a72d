//! All that is wrong with a labelled image, and what remains of its labels.

use std::collections::{BTreeMap, BTreeSet};

use shared_model::voc::{AnnotatedObject, Annotation, CocoExtra, Coordinates, ImageSize, VocBox, VocObject};

use super::class_list::{ClassList, Origin, closest};
use super::files::DataFile;
use super::problem::{Problem, ProblemKind};
use super::reading::{ExifBoxes, Reading, Unannotated};
use super::source::{Labelled, SourceAnnotations};
use super::text::{folded, is_invisible, shown};
use super::turn::{BoxesOf, boxes_of, fits, turn};
use crate::photo::PhotoHeader;

/// What was found out about an image.
#[derive(Debug)]
pub(super) struct Judged {
    /// What is wrong.
    pub(super) problems: Vec<Problem>,
    /// What is wrong, and left out as [`Reading`] asks for.
    pub(super) left_out: Vec<Problem>,
    /// What remains, in pixels of the upright image as it is decoded.
    pub(super) objects: Vec<AnnotatedObject>,
}

/// Judges an image; `header` is what its file says, and `classes` are those that objects may have, where not any will do.
pub(super) fn judge(
    labelled: &Labelled,
    header: Result<PhotoHeader, Problem>,
    classes: Option<&ClassList>,
    reading: &Reading,
) -> Judged {
    let Labelled { listed, annotation, .. } = labelled;
    let (header, mut found) = match header {
        Ok(header) => (Some(header), Vec::new()),
        Err(problem) => (None, vec![problem]),
    };
    let mut objects = Vec::new();
    match annotation {
        Ok(annotation) => {
            let mut annotation = annotation.clone();
            let mut exif_boxes = reading.exif_boxes;
            // Where an image cannot be read, that is said, and parts of it have no place.
            if let Some(header) = header.filter(|_| annotation.coordinates == Coordinates::Parts) {
                // Formats with parts are of upright images, unless somebody knows better.
                let is_stored = exif_boxes == ExifBoxes::Stored;
                annotation.in_pixels(if is_stored { header.stored } else { header.upright() }.map(|side| side as f64));
                exif_boxes = if is_stored { exif_boxes } else { ExifBoxes::Upright };
            }
            let entry = annotation.entry.clone();
            let (file, problems) = (&listed.annotation, Vec::new());
            let mut examined = Examined { file, entry: entry.as_deref(), reading, problems };
            let size_tells = examined.turn(&mut annotation, header.as_ref(), exif_boxes);
            examined.filename(&annotation, &listed.image, &listed.name);
            examined.size(&annotation, header.as_ref().filter(|_| size_tells));
            let wrong = examined.objects(&annotation, header.as_ref().filter(|_| size_tells), classes);
            found.extend(examined.problems);
            let kept = annotation.objects.into_iter().zip(wrong);
            let kept = kept.filter(|(_, wrong)| !wrong.iter().any(|kind| reading.leaves_out(*kind)));
            objects.extend(kept.map(|(annotated, _)| annotated));
        }
        Err(problem) => {
            let mut problem = problem.clone();
            if problem.kind == ProblemKind::MissingAnnotation && reading.unannotated == Unannotated::Stop {
                problem.message += "; if there is nothing in it to be found, --unannotated background says so";
            }
            found.push(problem);
        }
    }
    let shrink = header.map_or(1, |header| header.shrink) as f64;
    if shrink > 1.0 {
        objects.iter_mut().for_each(|annotated| annotated.object.bbox = shrunk(annotated.object.bbox, shrink));
    }
    let (left_out, problems) = found.into_iter().partition(|problem| reading.leaves_out(problem.kind));
    Judged { problems, left_out, objects }
}

/// A box in an image whose sides are divided by `shrink`. The first pixel is 1.
pub(super) fn shrunk(b: VocBox, shrink: f64) -> VocBox {
    let [xmin, ymin, xmax, ymax] = [b.xmin, b.ymin, b.xmax, b.ymax].map(|edge| (edge - 1.0) / shrink + 1.0);
    VocBox { xmin, ymin, xmax, ymax }
}

/// What is wrong with an annotation.
struct Examined<'a> {
    file: &'a DataFile,
    entry: Option<&'a str>,
    reading: &'a Reading,
    problems: Vec<Problem>,
}

impl Examined<'_> {
    fn add(&mut self, kind: ProblemKind, line: usize, message: String) {
        self.add_of(None, kind, line, message);
    }

    /// Of an object.
    fn add_of(&mut self, coco: Option<CocoExtra>, kind: ProblemKind, line: usize, message: String) {
        let (line, entry) = place(self.entry, line, coco);
        self.problems.push(Problem { kind, file: self.file.path().into(), line, entry, message });
    }

    /// Turns the boxes of the stored image upright, or says that it is not known what they are of. Whether the size in the
    /// annotation still has to be that of the image.
    fn turn(&mut self, annotation: &mut Annotation, header: Option<&PhotoHeader>, meant: ExifBoxes) -> bool {
        let Some(header) = header else { return true };
        if annotation.objects.is_empty() {
            // Of which of the two nothing is to be found in makes no difference.
            let of_stored = annotation.size.map(|size| [size.width, size.height]);
            return of_stored != Some(header.stored.map(|side| side as f64));
        }
        let of = boxes_of(annotation, header);
        match (of, meant) {
            (BoxesOf::Upright, _) | (BoxesOf::Unknown, ExifBoxes::Upright) => true,
            // Some programs write the stored size to upright boxes.
            (BoxesOf::Stored, ExifBoxes::Upright) if fits(annotation, header.upright()) => {
                if let Some(size) = &mut annotation.size {
                    std::mem::swap(&mut size.width, &mut size.height);
                }
                true
            }
            (BoxesOf::Stored | BoxesOf::Unknown, ExifBoxes::Stored) => {
                turn(annotation, header);
                true
            }
            (BoxesOf::Stored | BoxesOf::Unknown, _) => {
                let line = annotation.size.map_or(annotation.objects[0].box_line, |size| size.line);
                let ([width, height], exif) = (header.stored, header.orientation.to_exif());
                let [which, remedy] = match (of, meant) {
                    (_, ExifBoxes::Upright) => [
                        "do not fit the upright one, but the image as it is stored",
                        "with --exif-boxes stored they are turned with it; or draw them anew",
                    ],
                    (BoxesOf::Stored, _) => [
                        "are of the image as it is stored, by its size",
                        "say what they are of with --exif-boxes stored or --exif-boxes upright",
                    ],
                    _ => [
                        "may be of the image as it is stored as well as of the upright one",
                        "say what they are of with --exif-boxes stored or --exif-boxes upright",
                    ],
                };
                let message = format!(
                    "EXIF turns the image (orientation {exif}), and its boxes {which} ({width} x {height}): {remedy}"
                );
                self.add(ProblemKind::TurnedImage, line, message);
                false
            }
        }
    }

    fn filename(&mut self, annotation: &Annotation, image: &DataFile, name: &str) {
        let Some(filename) = &annotation.filename else { return };
        let filename = filename.rsplit(['/', '\\']).next().unwrap_or_default();
        let stem = filename.rsplit_once('.').map_or(filename, |(stem, _)| stem);
        let own = name.rsplit('/').next().unwrap_or(name);
        // A name of old, from before images were renamed, says nothing.
        if own != filename && own != stem && image.sibling(filename).exists() {
            let message = format!(
                "<filename> names another image of the set, \"{filename}\": see whether the boxes are those of \"{own}\", \
                 and mend the name or the file"
            );
            self.add(ProblemKind::OtherFilename, 1, message);
        }
    }

    fn size(&mut self, annotation: &Annotation, header: Option<&PhotoHeader>) {
        match (annotation.size, header.map(PhotoHeader::upright)) {
            (None, _) if annotation.coordinates == Coordinates::Parts => {}
            (None, _) => {
                let what = if self.entry.is_some() { "width and height" } else { "<size> with <width> and <height>" };
                let message =
                    format!("there is no {what} above 0: add it, or boxes of an image that was scaled go unnoticed");
                self.add(ProblemKind::NoSize, 1, message);
            }
            (Some(ImageSize { width, height, line }), Some(actual))
                if [width, height] != actual.map(|side| side as f64) =>
            {
                let [actual_width, actual_height] = actual;
                let message = format!(
                    "the annotation is of an image of {width} x {height} pixels, the image has {actual_width} x \
                     {actual_height}: its boxes lie elsewhere; annotate this image, or bring back the original"
                );
                self.add(ProblemKind::SizeMismatch, line, message);
            }
            _ => {}
        }
    }

    /// A remedy, behind others; none where it was taken.
    fn remedy(&self, kind: ProblemKind, remedy: &str) -> String {
        if self.reading.leaves_out(kind) { String::new() } else { format!(", or {remedy}") }
    }

    /// What is wrong with each object.
    fn objects(
        &mut self,
        annotation: &Annotation,
        header: Option<&PhotoHeader>,
        classes: Option<&ClassList>,
    ) -> Vec<Vec<ProblemKind>> {
        let said = annotation.size.map(|ImageSize { width, height, .. }| [width, height]);
        let size = header.map(|header| header.upright().map(|side| side as f64)).or(said);
        let mut firsts: BTreeMap<_, &AnnotatedObject> = BTreeMap::new();
        let mut wrong = Vec::new();
        for annotated in &annotation.objects {
            let &AnnotatedObject { object: VocObject { ref class, bbox, .. }, class_line, box_line, coco } = annotated;
            let mut kinds = Vec::new();
            if let Some(classes) = classes.filter(|classes| !classes.names.contains(class)) {
                let remedy = self.remedy(ProblemKind::UnknownClass, "leave such objects out with --other-classes skip");
                self.add_of(coco, ProblemKind::UnknownClass, class_line, unknown(class, classes, remedy));
                kinds.push(ProblemKind::UnknownClass);
            }
            if let Some((kind, message)) = box_problem(&bbox, size) {
                let remedy = match kind {
                    ProblemKind::OverhangingBox => String::new(),
                    _ => {
                        let skip = self.remedy(kind, "leave such objects out with --bad-boxes skip");
                        if skip.is_empty() { skip } else { format!(": draw it anew, remove the object{skip}") }
                    }
                };
                self.add_of(coco, kind, box_line, format!("a \"{}\" with {bbox} {message}{remedy}", shown(class)));
                kinds.push(kind);
            }
            let key = (class, [bbox.xmin, bbox.ymin, bbox.xmax, bbox.ymax].map(f64::to_bits));
            let first = *firsts.entry(key).or_insert(annotated);
            if !std::ptr::eq(first, annotated) {
                let place = first.coco.map_or(format!("line {}", first.box_line), |coco| numbered(&coco));
                let message = format!("the same \"{}\" as in {place}: remove one of them", shown(class));
                self.add_of(coco, ProblemKind::DuplicateBox, box_line, message);
            }
            wrong.push(kinds);
        }
        wrong
    }
}

/// Where something is in an annotation: its line, or in a file about many images the image and the object.
fn place(entry: Option<&str>, line: usize, coco: Option<CocoExtra>) -> (Option<usize>, Option<String>) {
    let entry = entry.map(|entry| match coco {
        Some(coco) => format!("{entry}: {}", numbered(&coco)),
        None => entry.into(),
    });
    (Some(line).filter(|_| entry.is_none()), entry)
}

fn numbered(coco: &CocoExtra) -> String {
    format!("annotation {}", coco.id)
}

/// Lists of so few classes are told whole.
const FEW: usize = 5;

/// What is said of an object whose class is not in the list. `skip`: the last of several remedies, where it was not taken.
fn unknown(class: &str, ClassList { names, origin }: &ClassList, skip: String) -> String {
    let hint = match closest(class, names) {
        Some(known) => format!(" (is it \"{}\"?)", shown(known)),
        None => String::new(),
    };
    let class = shown(class);
    match origin {
        Origin::MostlyVoc => format!(
            "the class \"{class}\" is not among Pascal VOC's{hint}, as most classes here are, so that it is taken for a \
             mistake: mend the name, or give the list of all classes with --classes"
        ),
        _ if skip.is_empty() => format!("the class \"{class}\" is not in the list"),
        _ => {
            let quoted = || names.iter().map(|name| format!("\"{}\"", shown(name))).collect::<Vec<_>>().join(", ");
            let list = match names.len() {
                1..=FEW => format!("in the list, which has {}", quoted()),
                more => format!("among the {more} of the list"),
            };
            format!(
                "the class \"{class}\" is not {list}{hint}: mend the name, give a list that has it with --classes{skip}"
            )
        }
    }
}

/// What is wrong with a box in an image of `size` pixels.
fn box_problem(b: &VocBox, size: Option<[f64; 2]>) -> Option<(ProblemKind, String)> {
    // Rounding while an image is scaled.
    const TOLERANCE: f64 = 1.0;
    if b.is_impossible() || b.xmax == b.xmin || b.ymax == b.ymin {
        return Some((ProblemKind::DegenerateBox, "is no box".into()));
    }
    let [width, height] = size?;
    // The first pixel is 1.
    if b.xmin > width || b.ymin > height || b.xmax < 1.0 || b.ymax < 1.0 {
        let message = format!("lies outside the image ({width} x {height})");
        return Some((ProblemKind::OutsideBox, message));
    }
    let over = (1.0 - b.xmin).max(1.0 - b.ymin).max(b.xmax - width).max(b.ymax - height);
    (over > TOLERANCE).then(|| {
        let message = format!("reaches over the image's edge ({width} x {height}), where training cuts it");
        (ProblemKind::OverhangingBox, message)
    })
}

/// Classes of the list that look like another one, or have characters that nobody sees: a problem for each, at its first
/// object, by source. A list that somebody gave is believed.
pub(super) fn similar_classes(read: &[SourceAnnotations], classes: &ClassList) -> Vec<Vec<Problem>> {
    let mut found: Vec<Vec<Problem>> = read.iter().map(|_| Vec::new()).collect();
    if classes.origin == Origin::Given {
        return found;
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let objects = || {
        let images = read.iter().enumerate().flat_map(|(i, source)| source.images.iter().map(move |image| (i, image)));
        images.flat_map(|(i, image)| image.annotated().map(move |annotated| (i, image, annotated)))
    };
    objects().for_each(|(_, _, annotated)| *counts.entry(&annotated.object.class).or_default() += 1);
    counts.retain(|class, _| classes.names.iter().any(|name| name == class));
    let mut seen = BTreeSet::new();
    for (source, image, AnnotatedObject { object, class_line, coco, .. }) in objects() {
        let class = object.class.as_str();
        let Some(count) = counts.get(class) else { continue };
        if !seen.insert(class) {
            continue;
        }
        // Of several the most frequent one is right, else the first of the alphabet.
        let alike = counts.iter().filter(|(other, _)| **other != class && folded(other) == folded(class));
        let right = alike.max_by_key(|(other, others)| (**others, std::cmp::Reverse(**other)));
        let message = match right {
            Some((other, others)) if others > count || (others == count && **other < *class) => format!(
                "the class \"{}\" differs from \"{}\" only by case, spaces, invisible characters or ways to write the \
                 same letter, and would be learned as another one: write all of them alike (objects: {count} and {others})",
                shown(class),
                shown(other)
            ),
            None if class.chars().any(is_invisible) => {
                format!("the class \"{}\" has invisible characters in its name: write it anew", shown(class))
            }
            _ => continue,
        };
        let entry = image.annotation.as_ref().ok().and_then(|annotation| annotation.entry.as_deref());
        let (line, entry) = place(entry, *class_line, *coco);
        let file = image.listed.annotation.path().into();
        found[source].push(Problem { kind: ProblemKind::SimilarClass, file, line, entry, message });
    }
    found
}

#[cfg(test)]
mod tests;
