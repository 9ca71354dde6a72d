//! `models/manifest.json`: the published weight files and what is known about each. The command line and the page read
//! the same file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The newest manifest format that this code reads.
pub const MANIFEST_VERSION: u32 = 1;

/// The list of published weight files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`] of the program that wrote it.
    pub format_version: u32,
    /// Name of the entry that is used where nobody asks for another.
    pub default: String,
    /// Names of the entries that the page opens with, side by side; empty for the default one and the next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opening: Vec<String>,
    /// What has been reported of the variants elsewhere, to set beside what these weights score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Reported>,
    /// The weight files, in the order in which they are offered.
    pub models: Vec<ManifestEntry>,
}

/// Figures of a report: Pascal VOC2007 test, all 4,952 pictures, after 300 epochs of VOC2007 trainval from random weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reported {
    /// URL of the report.
    pub source: String,
    /// By the variants' names; a report need not have all of them.
    pub variants: BTreeMap<String, ReportedFigures>,
}

/// What a report says about a variant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportedFigures {
    /// AP, mean over IoU .50:.05:.95 (11-point, per cent).
    pub ap: f64,
    /// AP at IoU .50 (11-point, per cent).
    pub ap50: f64,
}

/// Which comparison weights belong to: within one, they differ in nothing but the variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Trained from random weights: scores say what the structure is worth.
    Random,
    /// Started from the COCO weights and taught by them: the weights to use.
    Teacher,
}

/// Published weights once more, in a byte a number: see [`crate::WeightPrecision::Int8`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SmallFile {
    /// File name, next to the manifest.
    pub file: String,
    /// SHA-256 of the file, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// The official VOC2007 AP at IoU .50 (11-point, per cent), on the images of the whole entry's.
    pub voc2007_ap50: f64,
    /// The official VOC2007 AP, mean over IoU .50:.05:.95 (11-point, per cent).
    pub voc2007_ap: f64,
}

/// A published weight file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// Short name, used on the command line and in the page's address.
    pub name: String,
    /// File name, next to the manifest.
    pub file: String,
    /// Name of the [`crate::Variant`].
    pub variant: String,
    /// Number of classes.
    pub classes: usize,
    /// SHA-256 of the file, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// What the page downloads in place of the file, where there is such a one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small: Option<SmallFile>,
    /// Trainable parameters of the network; see [`crate::Cost::parameters`].
    pub parameters: usize,
    /// GFLOPs of one image at `input_size`; see [`crate::Cost::gflops`].
    pub gflops: f64,
    /// Side in pixels of the square that images are fitted into by default.
    pub input_size: usize,
    /// Data that the weights were trained on.
    pub trained_on: String,
    /// How they were trained, in a few words, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// The comparison they belong to, if to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Seed of the training's randomness, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// AP at IoU .50 (11-point, per cent) on the images that these weights were chosen by, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_ap50: Option<f64>,
    /// AP on the same images, mean over IoU .50:.05:.95.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_ap: Option<f64>,
    /// Where the weights come from.
    pub source: String,
    /// Licence of the weights (SPDX identifier).
    pub licence: String,
    /// The official VOC2007 AP at IoU .50 (11-point, per cent), where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voc2007_ap50: Option<f64>,
    /// The official VOC2007 AP, mean over IoU .50:.05:.95 (11-point, per cent), where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voc2007_ap: Option<f64>,
    /// `voc2007_ap50` of each class, by VOC's name of it; empty where it was not measured.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub voc2007_classes: BTreeMap<String, f64>,
    /// How many images of VOC2007 test (4,952 in all) the figures were measured on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voc2007_images: Option<usize>,
    /// File name, next to the manifest, of the training's curves (SVG), where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curves: Option<String>,
}

/// Why a text is no usable manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// No JSON of the expected shape.
    #[error("the list of models cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a newer program.
    #[error("the list of models has format version {0}, newer than this program's ({MANIFEST_VERSION})")]
    Newer(u32),
    /// The default is not in the list.
    #[error("the list of models names \"{0}\" as the default, but has no such entry")]
    NoDefault(String),
}

impl ManifestEntry {
    /// The entry with the smaller file in place of the other, if it has one. Scores stay those of the other.
    pub fn for_download(mut self) -> Self {
        if let Some(SmallFile { file, sha256, bytes, .. }) = self.small.take() {
            (self.file, self.sha256, self.bytes) = (file, sha256, bytes);
        }
        self
    }
}

impl Manifest {
    /// All entries as they are downloaded ([`ManifestEntry::for_download`]).
    pub fn for_downloads(mut self) -> Self {
        self.models = self.models.into_iter().map(ManifestEntry::for_download).collect();
        self
    }

    /// Reads the JSON text of a manifest.
    ///
    /// # Errors
    /// Fails where the text has another shape, comes from a newer program, or its default entry does not exist.
    pub fn from_json(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self = serde_json::from_str(text)?;
        if manifest.format_version > MANIFEST_VERSION {
            return Err(ManifestError::Newer(manifest.format_version));
        }
        if manifest.named(&manifest.default).is_none() {
            return Err(ManifestError::NoDefault(manifest.default));
        }
        Ok(manifest)
    }

    /// What is reported of the variant called `variant`, if anything.
    pub fn reported(&self, variant: &str) -> Option<ReportedFigures> {
        self.reported.as_ref()?.variants.get(variant).copied()
    }

    /// The entry called `name`.
    pub fn named(&self, name: &str) -> Option<&ManifestEntry> {
        self.models.iter().find(|entry| entry.name == name)
    }

    /// The entry that is used where nobody asks for another.
    ///
    /// # Panics
    /// Where there is none, which [`Manifest::from_json`] lets nobody read.
    pub fn default_entry(&self) -> &ManifestEntry {
        self.named(&self.default).expect("a manifest's default is one of its entries")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(version: u32, default: &str) -> String {
        format!(
            r#"{{"format_version":{version},"default":"{default}","models":[{{"name":"a","file":"a.safetensors",
            "variant":"baseline","classes":80,"sha256":"00","bytes":1,"parameters":912159,"gflops":1.0792,
            "input_size":416,"trained_on":"COCO","source":"somewhere","licence":"Apache-2.0"}}]}}"#
        )
    }

    #[test]
    fn protocols_are_written_in_lower_case() {
        let entry = ManifestEntry { protocol: Some(Protocol::Teacher), seed: Some(1), ..ManifestEntry::default() };
        let json = serde_json::to_string(&entry).unwrap();
        assert!(json.contains(r#""protocol":"teacher","seed":1"#), "{json}");
        assert_eq!(serde_json::from_str::<ManifestEntry>(&json).unwrap(), entry);
    }

    #[test]
    fn reads_an_entry_and_refuses_what_does_not_fit() {
        let manifest = Manifest::from_json(&text(1, "a")).unwrap();
        assert_eq!(manifest.default_entry().file, "a.safetensors");
        assert_eq!(manifest.default_entry().voc2007_ap50, None);
        assert!(manifest.default_entry().voc2007_classes.is_empty());
        assert_eq!((manifest.default_entry().protocol, manifest.default_entry().seed), (None, None));
        assert_eq!(manifest.reported("baseline"), None);
        assert!(matches!(Manifest::from_json(&text(2, "a")), Err(ManifestError::Newer(2))));
        assert!(matches!(Manifest::from_json(&text(1, "b")), Err(ManifestError::NoDefault(_))));
        assert!(matches!(Manifest::from_json("{"), Err(ManifestError::Json(_))));
    }
    #[test]
    fn what_is_reported_is_about_variants() {
        let manifest = Manifest::from_json(include_str!("../../models/manifest.json")).unwrap();
        let reported = manifest.reported.as_ref().unwrap();
        assert!(reported.source.starts_with("https://") && !reported.variants.is_empty());
        for (variant, figures) in &reported.variants {
            crate::Variant::named(variant).unwrap();
            assert_eq!(manifest.reported(variant), Some(*figures));
            assert!(0.0 < figures.ap && figures.ap < figures.ap50 && figures.ap50 < 100.0, "{variant}: {figures:?}");
        }
    }
}
