//! What is made of labels that leave it open what was meant, or that are wrong.

use serde::{Deserialize, Serialize};

use super::problem::ProblemKind;

/// What is made of boxes that are none, or lie outside their image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum BadBoxes {
    /// The data are refused.
    #[default]
    Stop,
    /// These objects are left out, which is said.
    Skip,
}

/// What is made of objects whose class is not in the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OtherClasses {
    /// The data are refused.
    #[default]
    Stop,
    /// They are left out: where they are is background.
    Skip,
}

/// What is made of images without an annotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Unannotated {
    /// The data are refused.
    #[default]
    Stop,
    /// There is no object in them.
    Background,
}

/// What boxes are of where EXIF says how to turn an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ExifBoxes {
    /// Of the upright image where their annotation tells; else the data are refused.
    #[default]
    Stop,
    /// Of the upright image.
    Upright,
    /// Of the image as it is stored, where their annotation does not tell otherwise: they are turned with it.
    Stored,
}

/// How labels are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Reading {
    /// What to make of boxes without an inside or outside their image: stop, or skip these objects.
    #[arg(long, value_enum, default_value_t)]
    pub bad_boxes: BadBoxes,
    /// What to make of images without an annotation: stop, or take them for background.
    #[arg(long, value_enum, default_value_t)]
    pub unannotated: Unannotated,
    /// What boxes are of where EXIF turns an image and its annotation does not say so: stop, upright or stored.
    #[arg(long, value_enum, default_value_t)]
    pub exif_boxes: ExifBoxes,
    /// What to make of objects of other classes: a command that has a list of classes says so.
    #[arg(skip)]
    pub other_classes: OtherClasses,
}

impl Reading {
    /// Whether what is wrong is left out, rather than a reason to refuse the data.
    pub fn leaves_out(&self, kind: ProblemKind) -> bool {
        match kind {
            ProblemKind::DegenerateBox | ProblemKind::OutsideBox => self.bad_boxes == BadBoxes::Skip,
            ProblemKind::UnknownClass => self.other_classes == OtherClasses::Skip,
            ProblemKind::MissingAnnotation => self.unannotated == Unannotated::Background,
            _ => false,
        }
    }
}
