//! The pictures on which the models differ most.

use shared_model::evaluation::PictureCounts;

use super::SetEvaluation;

/// How many mistakes each model makes in a picture.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PictureErrors {
    /// The picture's number.
    pub id: u32,
    /// The picture's file name.
    pub name: String,
    /// False positives and false negatives together, one figure a model.
    pub errors: Vec<usize>,
}

impl PictureErrors {
    /// How many more mistakes the worst model makes than the best.
    pub fn difference(&self) -> usize {
        let most = self.errors.iter().max().copied().unwrap_or_default();
        most - self.errors.iter().min().copied().unwrap_or_default()
    }
}

/// The pictures in which one model makes more mistakes than another, if boxes with scores under `threshold` are left out. Those
/// that the models differ most on come first.
pub fn differences(set: &SetEvaluation, threshold: f32) -> Vec<PictureErrors> {
    let of_picture = |(place, picture): (usize, &super::AnnotatedPicture)| PictureErrors {
        id: picture.id,
        name: picture.name.clone(),
        errors: set.models.iter().map(|model| errors(model.decided[place].counts(threshold))).collect(),
    };
    let mut pictures: Vec<_> = set.pictures.iter().enumerate().map(of_picture).collect();
    pictures.retain(|picture| picture.difference() > 0);
    // Equal ones stay in the order of the gallery.
    pictures.sort_by_key(|picture| std::cmp::Reverse(picture.difference()));
    pictures
}

fn errors(PictureCounts { right, wrong, objects }: PictureCounts) -> usize {
    wrong + objects.saturating_sub(right)
}
