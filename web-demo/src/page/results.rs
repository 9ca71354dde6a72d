//! What is known about every variant: published figures, measured ones, cost. Views show it as tables.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use shared_model::{Manifest, ManifestEntry, Protocol, ReportedFigures, VARIANTS, Variant, cost};

/// The comparisons in the order in which the page shows them; last what belongs to none.
pub const COMPARISONS: [Option<Protocol>; 3] = [Some(Protocol::Random), Some(Protocol::Teacher), None];

/// Classes of the network of a variant that has no weights: Pascal VOC's.
pub const VOC_CLASSES: usize = 20;
/// Side in pixels of the picture that cost is counted for where there are no weights.
pub const INPUT_SIZE: usize = 416;

/// A row of the table: published weights, or a variant without any, whose classes and cost are then those of a network for VOC.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultRow {
    pub variant: &'static Variant,
    pub model: Option<ManifestEntry>,
    pub classes: usize,
    /// Trainable parameters.
    pub parameters: usize,
    /// GFLOPs of a picture.
    pub gflops: f64,
    /// What the original report says about the variant.
    pub published: Option<ReportedFigures>,
}

/// The weights of a comparison, in the order of their variants. In that of random weights, which is about the variants
/// themselves, those without any have a row too.
pub fn rows(manifest: &Manifest, comparison: Option<Protocol>) -> Vec<ResultRow> {
    let of_variant = |variant: &'static Variant| {
        let published = manifest.reported(variant.name);
        let is_here = |model: &&ManifestEntry| model.variant == variant.name && model.protocol == comparison;
        let mut rows: Vec<ResultRow> = manifest
            .models
            .iter()
            .filter(is_here)
            .map(|model| ResultRow {
                variant,
                classes: model.classes,
                parameters: model.parameters,
                gflops: model.gflops,
                published,
                model: Some(model.clone()),
            })
            .collect();
        if rows.is_empty() && comparison == Some(Protocol::Random) {
            let cost = cost(&variant.graph(VOC_CLASSES), INPUT_SIZE, INPUT_SIZE);
            let (parameters, gflops) = (cost.parameters, cost.gflops);
            rows.push(ResultRow { variant, model: None, classes: VOC_CLASSES, parameters, gflops, published });
        }
        rows
    };
    VARIANTS.iter().flat_map(of_variant).collect()
}

/// What rows can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// Trainable parameters.
    Parameters,
    /// Arithmetic of a picture.
    Gflops,
    /// Bytes to download.
    Bytes,
    /// Measured AP at IoU .50.
    Ap50,
    /// Measured AP.
    Ap,
    /// Published AP at IoU .50.
    PublishedAp50,
    PublishedAp,
}

impl SortKey {
    /// The figure, where there is one.
    pub fn of(self, row: &ResultRow) -> Option<f64> {
        let model = row.model.as_ref();
        match self {
            Self::Parameters => Some(row.parameters as f64),
            Self::Gflops => Some(row.gflops),
            Self::Bytes => model.map(|model| model.bytes as f64),
            Self::Ap50 => model?.voc2007_ap50,
            Self::Ap => model?.voc2007_ap,
            Self::PublishedAp50 => row.published.map(|published| published.ap50),
            Self::PublishedAp => row.published.map(|published| published.ap),
        }
    }
}

/// Sorts rows; those without the figure come last either way.
pub fn sort(rows: &mut [ResultRow], key: SortKey, descending: bool) {
    rows.sort_by(|a, b| match (key.of(a), key.of(b)) {
        (Some(a), Some(b)) => {
            let order = a.total_cmp(&b);
            if descending { order.reverse() } else { order }
        }
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
}

/// A class in the table of classes: its AP50 by model, in per cent.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassRow {
    /// VOC's name.
    pub class: String,
    /// One a model, where it was measured.
    pub ap50: Vec<Option<f64>>,
    /// By model: whether the difference to the first is one of its [`STRIKING`] greatest.
    pub striking: Vec<bool>,
}

/// How many differences of each model stand out.
const STRIKING: usize = 3;

/// The models whose classes were scored, and their AP50 class by class, in alphabetical order.
pub fn class_rows(manifest: &Manifest) -> (Vec<String>, Vec<ClassRow>) {
    let models: Vec<_> = manifest.models.iter().filter(|model| !model.voc2007_classes.is_empty()).collect();
    let classes: BTreeSet<&String> = models.iter().flat_map(|model| model.voc2007_classes.keys()).collect();
    let mut rows: Vec<ClassRow> = classes
        .into_iter()
        .map(|class| ClassRow {
            class: class.clone(),
            ap50: models.iter().map(|model| model.voc2007_classes.get(class).copied()).collect(),
            striking: vec![false; models.len()],
        })
        .collect();
    for model in 1..models.len() {
        let mut by_difference: Vec<(usize, f64)> =
            rows.iter().enumerate().filter_map(|(i, row)| Some((i, row.difference(model)?.abs()))).collect();
        by_difference.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal));
        for &(i, _) in by_difference.iter().take(STRIKING) {
            rows[i].striking[model] = true;
        }
    }
    (models.into_iter().map(|model| model.name.clone()).collect(), rows)
}

impl ClassRow {
    /// How much more a model scores than the first one; none for the first itself.
    pub fn difference(&self, model: usize) -> Option<f64> {
        (model > 0).then_some(())?;
        Some(self.ap50[model]? - self.ap50[0]?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published() -> Manifest {
        Manifest::from_json(include_str!("../../../models/manifest.json")).unwrap()
    }

    fn entry(name: &str, variant: &str, protocol: Option<Protocol>) -> ManifestEntry {
        ManifestEntry { name: name.into(), variant: variant.into(), protocol, ..ManifestEntry::default() }
    }

    #[test]
    fn weights_stand_in_the_table_of_their_comparison() {
        let models = vec![
            entry("coco", "baseline", None),
            entry("final-taught", "final", Some(Protocol::Teacher)),
            entry("taught", "baseline", Some(Protocol::Teacher)),
            entry("random", "dw3", Some(Protocol::Random)),
            entry("random-2", "dw3", Some(Protocol::Random)),
        ];
        let manifest =
            Manifest { format_version: 1, default: "coco".into(), opening: Vec::new(), reported: None, models };
        let names = |comparison| -> Vec<String> {
            rows(&manifest, comparison).into_iter().filter_map(|row| row.model.map(|model| model.name)).collect()
        };
        assert_eq!(names(Some(Protocol::Random)), ["random", "random-2"]);
        assert_eq!(names(Some(Protocol::Teacher)), ["taught", "final-taught"]);
        assert_eq!(names(None), ["coco"]);
        assert_eq!(rows(&manifest, Some(Protocol::Random)).len(), VARIANTS.len() + 1);
        assert_eq!(rows(&manifest, Some(Protocol::Teacher)).len(), 2);
    }

    #[test]
    fn every_model_and_every_variant_has_a_row() {
        let manifest = published();
        let rows: Vec<ResultRow> = COMPARISONS.iter().flat_map(|comparison| rows(&manifest, *comparison)).collect();
        let mut models: Vec<&str> = rows.iter().flat_map(|row| row.model.as_ref().map(|m| m.name.as_str())).collect();
        let mut listed: Vec<&str> = manifest.models.iter().map(|model| model.name.as_str()).collect();
        models.sort_unstable();
        listed.sort_unstable();
        assert_eq!(models, listed);
        for variant in &VARIANTS {
            assert!(rows.iter().any(|row| row.variant == variant), "{}", variant.name);
        }
        let dw3 = rows.iter().find(|row| row.variant.name == "dw3").unwrap();
        assert_eq!((dw3.parameters, dw3.published), (728_027, None));
    }

    #[test]
    fn published_figures_are_those_of_the_document() {
        let document = include_str!("../../../docs/variants.md");
        for (variant, figures) in published().reported.unwrap().variants {
            let row = document.lines().find(|line| line.starts_with(&format!("| `{variant}` |"))).unwrap();
            assert!(row.contains(&format!("{:.2} / {:.2}", figures.ap, figures.ap50)), "{row}");
        }
    }

    #[test]
    fn rows_without_the_figure_come_last() {
        for descending in [false, true] {
            let mut rows = rows(&published(), Some(Protocol::Random));
            sort(&mut rows, SortKey::PublishedAp, descending);
            let figures: Vec<Option<f64>> = rows.iter().map(|row| SortKey::PublishedAp.of(row)).collect();
            let known = figures.iter().take_while(|figure| figure.is_some()).count();
            assert!(figures[known..].iter().all(Option::is_none) && known < figures.len(), "{figures:?}");
            let ordered = figures[..known]
                .windows(2)
                .all(|pair| if descending { pair[0] >= pair[1] } else { pair[0] <= pair[1] });
            assert!(ordered, "{figures:?}");
        }
    }

    #[test]
    fn classes_are_compared_with_the_first_model() {
        let (models, rows) = class_rows(&published());
        assert_eq!(rows.len(), 20);
        for (model, name) in models.iter().enumerate().skip(1) {
            let difference = |row: &ClassRow| row.difference(model).unwrap().abs();
            let (striking, others): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.striking[model]);
            assert_eq!(striking.len(), STRIKING);
            let least = striking.iter().map(|row| difference(row)).fold(f64::INFINITY, f64::min);
            assert!(others.iter().all(|row| difference(row) <= least), "{name}");
        }
        assert!(rows.iter().all(|row| row.difference(0).is_none() && !row.striking[0]));
    }
}
