//! The labelled images that a network is trained on.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use shared_model::voc::VocBox;

use super::files::DataFile;
use super::labels::{self, Classes, LabelledImage};
use super::problem::Problem;
use super::reading::Reading;
use super::source::Source;

/// An object to be learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelledBox {
    /// Position in the list of classes.
    pub class: usize,
    /// Where it is, in pixels of the image as it is decoded; it may reach over the image's edge.
    pub bbox: VocBox,
    /// Whether it is marked as hard to recognise.
    pub difficult: bool,
}

/// What training makes of objects that are marked as difficult.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Difficult {
    /// They are learned like others, as in the reference recipe.
    #[default]
    Learn,
    /// They are left out: where they are is background.
    Skip,
    /// Neither objects nor background: what the network says there does not count.
    Ignore,
}

impl Difficult {
    /// Whether a box is neither to be learned nor background.
    pub fn ignores(self, labelled: &LabelledBox) -> bool {
        labelled.difficult && self == Self::Ignore
    }
}

/// An image to learn from.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingImage {
    /// Its name in the split.
    pub name: String,
    pub image: DataFile,
    pub boxes: Vec<LabelledBox>,
}

impl TrainingImage {
    /// What is to be learned of it.
    pub fn learned(&self, difficult: Difficult) -> impl Iterator<Item = &LabelledBox> {
        self.boxes.iter().filter(move |labelled| !difficult.ignores(labelled))
    }
}

/// The images of one or more splits, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingSet {
    /// The names of the classes.
    pub class_names: Vec<String>,
    /// The images, in the order of the sources and their lists.
    pub items: Vec<TrainingImage>,
    /// What is made of difficult objects.
    pub difficult: Difficult,
    /// What is wrong with the data, but harmless: for people to see.
    pub warnings: Vec<Problem>,
    /// What is wrong with the data, and was left out as asked for.
    pub left_out: Vec<Problem>,
}

impl TrainingSet {
    /// [`TrainingSet::open_with`], where everything doubtful stops.
    ///
    /// # Errors
    /// As for that.
    pub fn open(sources: &[Source], class_names: Option<&[String]>, difficult: Difficult) -> Result<Self> {
        Self::open_with(sources, class_names, difficult, &Reading::default())
    }

    /// Reads annotations and the images' headers.
    ///
    /// The classes are `class_names`, else those that occur (see [`of_names`](super::class_list::of_names)).
    ///
    /// # Errors
    /// As for [`labels::read`].
    pub fn open_with(
        sources: &[Source],
        class_names: Option<&[String]>,
        difficult: Difficult,
        reading: &Reading,
    ) -> Result<Self> {
        let classes = class_names.map_or(Classes::Occurring, Classes::Given);
        let labels::Labels { classes, images, warnings, left_out, .. } = labels::read(sources, classes, reading)?;
        let mut set = Self { class_names: classes.names, items: Vec::new(), difficult, warnings, left_out };
        set.items = images.into_iter().map(|image| set.item(image)).collect();
        Ok(set)
    }

    fn item(&self, LabelledImage { name, image, objects, .. }: LabelledImage) -> TrainingImage {
        let skip = self.difficult == Difficult::Skip;
        let objects = objects.into_iter().map(|annotated| annotated.object);
        let boxes = objects.filter(|object| !(skip && object.difficult)).filter_map(|object| {
            let class = self.class_names.iter().position(|name| *name == object.class)?;
            Some(LabelledBox { class, bbox: object.bbox, difficult: object.difficult })
        });
        TrainingImage { boxes: boxes.collect(), name, image }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::source::class_names;
    use crate::data::testing::{VocBuilder, object};

    fn open(builder: &VocBuilder) -> Result<TrainingSet> {
        TrainingSet::open(&[builder.source("train")], None, Difficult::Learn)
    }

    #[test]
    fn sources_are_joined_in_order_and_classes_are_those_that_occur() {
        let voc = VocBuilder::new();
        voc.image("b", 40, 30, &object("dog", [1.5, 2.0, 9.0, 8.0]));
        voc.image(
            "a",
            40,
            30,
            &object("cat", [1.0, 1.0, 40.0, 30.0]).replace("<object>", "<object><difficult>1</difficult>"),
        );
        voc.split("train", &["b"]);
        voc.split("val", &["a"]);
        let sources = [voc.source("train"), voc.source("val")];
        let set = TrainingSet::open(&sources, None, Difficult::Learn).unwrap();
        assert_eq!(set.class_names, ["cat", "dog"]);
        assert_eq!(class_names(&sources).unwrap(), set.class_names);
        assert_eq!(set.items.iter().map(|item| item.name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        let bbox = VocBox { xmin: 1.5, ymin: 2.0, xmax: 9.0, ymax: 8.0 };
        assert_eq!(set.items[0].boxes, [LabelledBox { class: 1, bbox, difficult: false }]);
        assert!(set.items[1].boxes[0].difficult && set.items[1].image.exists());

        let given = ["dog", "bird", "cat"].map(String::from);
        let set = TrainingSet::open(&sources, Some(&given), Difficult::Skip).unwrap();
        assert_eq!((set.items[0].boxes[0].class, set.items[1].boxes.len()), (0, 0), "difficult ones are skipped");
        assert_eq!(set.class_names, given);

        let set = TrainingSet::open(&sources, None, Difficult::Ignore).unwrap();
        let counts = [0, 1].map(|item| (set.items[item].boxes.len(), set.items[item].learned(set.difficult).count()));
        assert_eq!(counts, [(1, 1), (1, 0)], "difficult ones are there, but not to be learned");
    }

    #[test]
    fn what_would_poison_training_is_refused_with_file_and_remedy() {
        let good = object("dog", [1.0, 2.0, 9.0, 8.0]);
        let voc = VocBuilder::new();
        for (what, name, objects, expected) in [
            ("class", "a.xml:4", object("dgo", [1.0, 2.0, 9.0, 8.0]), "the class \"dgo\" is not among"),
            ("box", "a.xml:5", object("dog", [9.0, 2.0, 1.0, 8.0]), "is no box"),
            ("number", "a.xml:5", object("dog", [f64::NAN, 2.0, 1.0, 8.0]), "is no box"),
            ("outside", "a.xml:5", object("dog", [50.0, 2.0, 60.0, 8.0]), "outside the image"),
        ] {
            voc.image("a", 40, 30, &format!("{objects}{good}{}", object("cat", [1.0, 2.0, 9.0, 8.0])));
            voc.split("train", &["a"]);
            let error = open(&voc).expect_err(what).to_string();
            assert!(
                error.contains(name) && error.contains(expected) && error.contains("check-data"),
                "{what}: {error}"
            );
        }
        voc.image("a", 40, 30, &good);
        voc.split("train", &["a", "b"]);
        let error = open(&voc).unwrap_err().to_string();
        assert!(error.contains("b.jpg: the image is missing") && error.contains("1 more"), "{error}");
        voc.split("train", &[]);
        assert!(open(&voc).unwrap_err().to_string().contains("is empty"));
    }

    #[test]
    fn a_missing_size_is_no_more_than_a_warning() {
        let voc = VocBuilder::new();
        voc.image("a", 40, 30, &object("dog", [1.0, 2.0, 9.0, 8.0]));
        voc.annotation("a", &format!("<annotation>{}</annotation>", object("dog", [1.0, 2.0, 9.0, 8.0])));
        voc.split("train", &["a"]);
        let set = open(&voc).unwrap();
        assert_eq!((set.items.len(), set.warnings.len()), (1, 1));
        assert!(set.warnings[0].to_string().contains("a.xml:1: there is no <size>"), "{}", set.warnings[0]);
    }
}
