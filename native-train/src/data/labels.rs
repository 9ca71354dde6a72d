//! The labels of splits as training and evaluation take them: checked, turned upright, without what is to be left out.

use anyhow::{Result, anyhow, ensure};
use rayon::prelude::*;
use shared_model::voc::{AnnotatedObject, VocObject};

use super::class_list::{self, ClassList, Origin};
use super::files::DataFile;
use super::judge::{Judged, judge, shrunk, similar_classes};
use super::problem::{Problem, read_image};
use super::reading::Reading;
use super::source::{Labelled, Listed, NumberedClass, Source, SourceAnnotations, classes_of, numbered_classes};
use crate::photo::PhotoHeader;

/// Which classes objects may have.
#[derive(Clone, Copy, Debug)]
pub enum Classes<'a> {
    Any,
    /// Those that occur (see [`class_list::of_names`]).
    Occurring,
    /// These.
    Given(&'a [String]),
}

/// The images of one or more splits.
#[derive(Clone, Debug)]
pub struct Labels {
    /// The classes; none where any will do.
    pub classes: ClassList,
    /// All classes with their numbers, whether they occur or not: see [`NumberedClass`].
    pub numbered: Vec<NumberedClass>,
    /// In the order of the sources and their lists.
    pub images: Vec<LabelledImage>,
    /// What is wrong, but harmless.
    pub warnings: Vec<Problem>,
    /// What is wrong, and was left out as `Reading` asks for.
    pub left_out: Vec<Problem>,
}

#[derive(Clone, Debug)]
pub struct LabelledImage {
    /// Its name in the split.
    pub name: String,
    pub image: DataFile,
    /// What the file says before its pixels.
    pub header: PhotoHeader,
    /// Which of the sources it is of.
    pub source: usize,
    /// COCO's number of it; elsewhere its place in the split, from 1.
    pub id: i64,
    /// What is in it, in pixels of the image as it is decoded.
    pub objects: Vec<AnnotatedObject>,
}

impl LabelledImage {
    /// What is in it, as Pascal VOC's score needs it.
    pub fn voc_objects(&self) -> Vec<VocObject> {
        self.objects.iter().map(|annotated| annotated.object.clone()).collect()
    }

    /// Brings its boxes into pixels of its file, where that is so large that it is decoded at a part of its sides.
    pub fn in_file_pixels(mut self) -> Self {
        let shrink = self.header.shrink as f64;
        let boxes = self.objects.iter_mut().map(|annotated| &mut annotated.object.bbox);
        boxes.filter(|_| shrink > 1.0).for_each(|bbox| *bbox = shrunk(*bbox, 1.0 / shrink));
        self
    }
}

/// Reads annotations and the images' headers.
///
/// # Errors
/// Fails where a source or one of its files cannot be read, or a label would poison training (see
/// [`ProblemKind::poisons_training`](super::problem::ProblemKind::poisons_training)), naming file and line.
pub fn read(sources: &[Source], classes: Classes<'_>, reading: &Reading) -> Result<Labels> {
    let read = sources.iter().map(SourceAnnotations::read).collect::<Result<Vec<_>>>()?;
    let known = match classes {
        Classes::Any => None,
        Classes::Occurring => Some(classes_of(&read)),
        Classes::Given(names) => {
            class_list::check(names)?;
            Some(ClassList { names: names.to_vec(), origin: Origin::Given })
        }
    };
    if let Some(classes) = &known {
        let similar = similar_classes(&read, classes);
        let first = sources.iter().zip(&similar).find(|(_, found)| !found.is_empty());
        if let Some((source, found)) = first {
            return Err(refusal(source, &found[0], similar.iter().map(Vec::len).sum()));
        }
    }
    let (mut images, mut warnings, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    if known.is_none() {
        // It is nobody's mistake until somebody learns them.
        warnings.extend(similar_classes(&read, &classes_of(&read)).into_iter().flatten());
    }
    let numbered = numbered_classes(&read);
    for (i, (source, annotations)) in sources.iter().zip(read).enumerate() {
        let judge = |labelled: &Labelled| {
            let file = &labelled.listed.image;
            let header = read_image(&labelled.listed, file.photo_header());
            (header.as_ref().ok().copied(), judge(labelled, header, known.as_ref(), reading))
        };
        let judged: Vec<(Option<PhotoHeader>, Judged)> = annotations.images.par_iter().map(judge).collect();
        let fatal: Vec<&Problem> =
            judged.iter().flat_map(|(_, image)| &image.problems).filter(|p| p.kind.poisons_training()).collect();
        if let Some(first) = fatal.first() {
            return Err(refusal(source, first, fatal.len()));
        }
        for (Labelled { listed, image_id: id, .. }, (header, judged)) in annotations.images.into_iter().zip(judged) {
            warnings.extend(judged.problems);
            left_out.extend(judged.left_out);
            let header = header.expect("an image that cannot be read is refused");
            let Listed { name, image, .. } = listed;
            images.push(LabelledImage { name, image, header, source: i, id, objects: judged.objects });
        }
    }
    let classes = known.unwrap_or(ClassList { names: Vec::new(), origin: Origin::Occurring });
    Ok(Labels { classes, numbered, images, warnings, left_out })
}

fn refusal(source: &Source, first: &Problem, count: usize) -> anyhow::Error {
    let others = match count - 1 {
        0 => String::new(),
        others => format!(" (and {others} more)"),
    };
    anyhow!("{first}{others}; `yolox-nano check-data {source}` shows all that is wrong with the data")
}

/// What was left out, for people: a line for each kind of it, with the first as an example.
pub fn summary(left_out: &[Problem]) -> Vec<String> {
    let mut kinds: Vec<_> = left_out.iter().map(|problem| problem.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let line = |kind| {
        let of_kind: Vec<_> = left_out.iter().filter(|problem| problem.kind == kind).collect();
        let (count, what) = (of_kind.len(), super::problem::ProblemKind::plural(kind));
        format!("left out, as asked for: {count} {what}, such as {}", of_kind[0])
    };
    kinds.into_iter().map(line).collect()
}

/// Flaws that do no harm and are shown one by one.
const FLAWS_SHOWN: usize = 5;

/// What is wrong but harmless, for people: the first of it.
pub fn warnings(flaws: &[Problem]) -> Vec<String> {
    let mut lines: Vec<_> = flaws.iter().take(FLAWS_SHOWN).map(|flaw| format!("warning: {flaw}")).collect();
    if flaws.len() > FLAWS_SHOWN {
        let more = flaws.len() - FLAWS_SHOWN;
        lines.push(format!("warning: {more} more flaws of the data, which yolox-nano check-data shows"));
    }
    lines
}

/// Checks that something can be scored.
///
/// # Errors
/// Fails where no object counts: difficult ones do not.
pub fn check_scorable<'a>(truth: impl IntoIterator<Item = &'a Vec<VocObject>>, what: &str) -> Result<()> {
    let counts = truth.into_iter().flatten().any(|object| !object.difficult);
    ensure!(
        counts,
        "no image of {what} has an object that counts (difficult ones do not), so that nothing can be scored: name a split \
         with objects"
    );
    Ok(())
}
