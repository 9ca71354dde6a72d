//! Learning from another network (a teacher) beside, or in place of, labels: from what it says about each image
//! (`output`) and from what its parts compute on the way (`features`).

mod features;
mod output;

use anyhow::{Context, Result, ensure};
use shared_model::evaluation::ClassMap;
use shared_model::graph::{Graph, Node, Stage};
use shared_model::training::Features;
use shared_model::{ColourOrder, Weights};

use super::settings::Settings;
use super::start::MakeEngine;
use crate::engine::{Batch, Engine, HeadOutput, Outputs};

pub use features::{FeatureLoss, feature_loss};
pub use output::{OutputLoss, output_loss};

/// A trained network that another one learns from.
pub struct Teacher {
    engine: Box<dyn Engine>,
    /// For each class of the student the teacher's; `None` where it knows no such class.
    classes: Vec<Option<usize>>,
    /// Layers of the student, in order of execution, and what the part of the network that ends there is called.
    taps: Vec<Stage>,
    /// Parts of the student that have other channels than the teacher's.
    differing: Vec<&'static str>,
}

impl Teacher {
    /// A teacher with these weights, in training or inference form, for a student of this graph and these classes. Parts of
    /// both networks that have the same name and as many channels can be compared.
    ///
    /// # Errors
    /// Fails where the weights do not fit their variant, know none of the classes, or the device fails.
    pub fn new(
        weights: &Weights,
        student: &Graph,
        class_names: &[String],
        settings: &Settings,
        make_engine: &MakeEngine,
    ) -> Result<Self> {
        ensure!(
            weights.metadata.colour_order == ColourOrder::Bgr,
            "it takes images in the order red, green, blue, which is not trained here"
        );
        let graph = weights.graph()?;
        let map = ClassMap::new(&weights.metadata.class_names, class_names);
        let of_student = |class: usize| (0..graph.classes).find(|&theirs| map.to_data(theirs) == Some(class));
        let classes: Vec<Option<usize>> = (0..class_names.len()).map(of_student).collect();
        ensure!(classes.iter().any(Option::is_some), "it knows none of the classes that are to be learned");

        let mut engine = make_engine(&graph, settings)?;
        engine.freeze(weights)?;
        let counterpart = |stage: &Stage| {
            let theirs = graph.stages.iter().find(|theirs| theirs.name == stage.name)?;
            (graph.channels(theirs.node) == student.channels(stage.node)).then_some((*stage, theirs.node))
        };
        let mut pairs: Vec<(Stage, Node)> = student.stages.iter().filter_map(counterpart).collect();
        pairs.sort_by_key(|(stage, _)| stage.node);
        let (taps, theirs): (Vec<Stage>, Vec<Node>) = pairs.into_iter().unzip();
        ensure!(theirs.is_sorted(), "its parts come in another order than the student's");
        engine.tap(&theirs)?;
        let differing = student.stages.iter().filter(|stage| !taps.contains(stage)).map(|stage| stage.name).collect();
        Ok(Self { engine, classes, taps, differing })
    }

    /// Loads what `--distill` or `--init` names.
    ///
    /// # Errors
    /// As for [`Teacher::new`], and where there are no such weights.
    pub fn load(
        name: &str,
        student: &Graph,
        class_names: &[String],
        settings: &Settings,
        make_engine: &MakeEngine,
    ) -> Result<Self> {
        let weights = crate::models::load(Some(name))?.weights;
        Self::new(&weights, student, class_names, settings, make_engine)
            .with_context(|| format!("{name} cannot be a teacher"))
    }

    /// The student's parts that have a counterpart, in order of execution.
    pub fn taps(&self) -> &[Stage] {
        &self.taps
    }

    /// Names of the student's parts that cannot be compared, as pruning has left one of the networks fewer channels there.
    pub fn differing(&self) -> &[&'static str] {
        &self.differing
    }

    /// What the teacher says and, if `with_features`, computes on these images, in the student's classes.
    ///
    /// # Errors
    /// Fails where the device does.
    pub fn look(&mut self, batch: &Batch, with_features: bool) -> Result<Outputs> {
        let Outputs { head, features } = match with_features {
            true => self.engine.infer_features(batch)?,
            false => Outputs { head: self.engine.infer(batch)?, features: Features::new() },
        };
        Ok(Outputs { head: in_classes(head, &self.classes), features })
    }

    /// What computes it, and for each class of the student its own, for [`in_classes`].
    pub fn parts(&mut self) -> (&mut dyn Engine, &[Option<usize>]) {
        (self.engine.as_mut(), &self.classes)
    }
}

/// What a teacher says with the student's classes in their order, of which `classes` are the teacher's; those that it does not know
/// are NaN.
pub fn in_classes(mut head: HeadOutput, classes: &[Option<usize>]) -> HeadOutput {
    if classes.len() == head.classes && classes.iter().enumerate().all(|(i, &class)| class == Some(i)) {
        return head;
    }
    let row = head.row();
    let mut values = Vec::with_capacity(head.values.len() / row * (5 + classes.len()));
    for theirs in head.values.chunks_exact(row) {
        values.extend_from_slice(&theirs[..5]);
        values.extend(classes.iter().map(|class| class.map_or(f32::NAN, |class| theirs[5 + class])));
    }
    (head.values, head.classes) = (values, classes.len());
    head
}

#[cfg(test)]
mod tests;
