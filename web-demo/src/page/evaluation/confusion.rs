//! Which class a model takes for which.

use std::collections::BTreeSet;

use shared_model::evaluation::{ClassMap, Confusion};
use shared_model::{Detection, voc::VocObject};

use super::{ModelEvaluation, SetEvaluation};

/// How often each class that occurs was found as each, if boxes with scores under `threshold` are left out. Boxes of classes that
/// do not occur in the set are left out, as they are of AP.
pub fn confusion(set: &SetEvaluation, model: &ModelEvaluation, threshold: f32) -> Confusion {
    let truths: Vec<Vec<VocObject>> = set.pictures.iter().map(|picture| picture.truth.voc_objects()).collect();
    let classes: BTreeSet<&String> = truths.iter().flatten().map(|object| &object.class).collect();
    let classes: Vec<String> = classes.into_iter().cloned().collect();
    let map = ClassMap::new(&model.classes, &classes);
    let found = model.judged.iter().map(|run| {
        let shown = run.shown.iter().map(|(detection, _)| *detection);
        shown.filter_map(|found| Some(Detection { class: map.to_data(found.class)?, ..found })).collect()
    });
    Confusion::new(&truths, &found.collect::<Vec<_>>(), &classes, threshold)
}
