//! The models that there are: the published ones, then the visitor's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use leptos::prelude::*;
use shared_model::{Manifest, ManifestEntry, Variant, cost};
use web_sys::Blob;

use super::sizes::{sized_name, split_size};
use crate::page::kept::KeptModel;
use crate::protocol::{ModelFacts, WeightsSource};

/// What the name of a model begins with that has no weights but random ones; the variant's name follows.
const RANDOM: &str = "random:";

/// The name of a variant's model with random weights.
pub fn random_weights(variant: &str) -> String {
    format!("{RANDOM}{variant}")
}

/// The variant of a model with random weights; `None` for other models.
pub fn random_variant(model: &str) -> Option<&str> {
    model.strip_prefix(RANDOM)
}

/// The entry of a model at another input size.
fn at_size(mut entry: ManifestEntry, side: usize) -> ManifestEntry {
    if let Ok(variant) = Variant::named(&entry.variant) {
        // In the same proportion where channels were pruned.
        let gflops = |side: usize| cost(&variant.graph(entry.classes), side, side).gflops;
        entry.gflops *= gflops(side) / gflops(entry.input_size);
    }
    ManifestEntry { name: sized_name(&entry.name, side), input_size: side, voc2007_ap50: None, ..entry }
}

/// The manifest's models, as far as they have come.
#[derive(Clone)]
pub enum ModelList {
    Loading,
    /// All models have an entry here, the visitor's own too once they have proved good.
    Listed(Arc<Manifest>),
    /// Not to be had, and why.
    Failed(String),
}

/// The store of models.
#[derive(Clone, Copy)]
pub struct Models {
    list: RwSignal<ModelList>,
    /// Weights of the visitor's own, by the name under which they are listed.
    own: StoredValue<BTreeMap<String, OwnWeights>, LocalStorage>,
    /// Names of those that this browser keeps.
    kept: RwSignal<Vec<String>>,
    /// The URL of weights that a link offers, until the visitor has said yes or no.
    offered: RwSignal<Option<String>>,
}

/// Weights of the visitor's own.
#[derive(Clone)]
struct OwnWeights {
    source: WeightsSource,
    bytes: u64,
    /// The URL that they were fetched from, if not the visitor's disk.
    origin: Option<String>,
}

impl Models {
    pub(super) fn new() -> Self {
        Self {
            list: RwSignal::new(ModelList::Loading),
            own: StoredValue::new_local(BTreeMap::new()),
            kept: RwSignal::new(Vec::new()),
            offered: RwSignal::new(None),
        }
    }

    /// The list, once it is here.
    pub fn manifest(self) -> Option<Arc<Manifest>> {
        match &*self.list.read() {
            ModelList::Listed(manifest) => Some(Arc::clone(manifest)),
            _ => None,
        }
    }

    /// Entries of the list; none before it is here.
    pub fn entries(self) -> Vec<ManifestEntry> {
        self.manifest().map(|manifest| manifest.models.clone()).unwrap_or_default()
    }

    /// What the list says about a model. At another size than its own it has other costs, and scores that nobody has measured.
    pub fn entry(self, name: &str) -> Option<ManifestEntry> {
        let (model, size) = split_size(name);
        let entry = self.manifest()?.named(model)?.clone();
        Some(match size {
            Some(side) if side != entry.input_size => at_size(entry, side),
            _ => entry,
        })
    }

    /// The name under which a model, at whatever size, is on show at the size `side`, in pixels.
    pub fn name_at(self, name: &str, side: usize) -> String {
        let (model, _) = split_size(name);
        let is_own = self.manifest().and_then(|list| Some(list.named(model)?.input_size == side)).unwrap_or_default();
        if is_own { model.into() } else { sized_name(model, side) }
    }

    /// Why the list is not to be had, if so.
    pub fn failure(self) -> Option<String> {
        match &*self.list.read() {
            ModelList::Failed(why) => Some(why.clone()),
            _ => None,
        }
    }

    /// Subscribes to the list.
    pub fn track(self) {
        self.list.track();
    }

    /// The list has come, or not, or is asked for anew.
    pub fn set(self, list: ModelList) {
        self.list.set(list);
    }

    /// Whether a model is the visitor's own.
    pub fn is_own(self, model: &str) -> bool {
        self.own.with_value(|own| own.contains_key(model))
    }

    /// Where the weights of a model come from that is the visitor's own, at whatever size.
    pub fn own_source(self, model: &str) -> Option<WeightsSource> {
        self.own.with_value(|own| own.get(split_size(model).0).map(|own| own.source.clone()))
    }

    /// The URL that a model of the visitor's own was fetched from, if from one.
    pub fn origin(self, model: &str) -> Option<String> {
        self.own.with_value(|own| own.get(split_size(model).0)?.origin.clone())
    }

    /// The model of the visitor's own that was fetched from this URL.
    pub fn fetched_from(self, url: &str) -> Option<String> {
        let is_from = |(_, own): &(&String, &OwnWeights)| own.origin.as_deref() == Some(url);
        self.own.with_value(|own| own.iter().find(is_from).map(|(name, _)| name.clone()))
    }

    /// Names of the models that this browser keeps for the visitor.
    pub fn kept(self) -> Vec<String> {
        self.kept.get()
    }

    /// The URL of weights that a link offers and about which the visitor has not decided yet.
    pub fn offered(self) -> Option<String> {
        self.offered.get()
    }

    /// Offers weights to the visitor by their URL, or none any more.
    pub fn offer(self, url: Option<String>) {
        self.offered.set(url);
    }

    /// Takes a weight file of the visitor's, which may have come from a URL, under its name without the extension, and a number
    /// if there is a model of that name already. Returns the name; `None` before the list is here, as the name might be taken.
    pub fn add_own(self, file: &str, blob: Blob, origin: Option<String>) -> Option<String> {
        let manifest = untrack(|| self.manifest())?;
        let stem = file.strip_suffix(".safetensors").unwrap_or(file);
        // The page's address separates models by commas, and sizes from models by this sign.
        let stem = stem.replace([',', ' ', '@'], "-");
        let is_taken = |name: &str| manifest.named(name).is_some() || self.is_own(name);
        let numbered = (2..).map(|i| format!("{stem}-{i}"));
        let name =
            std::iter::once(stem.clone()).chain(numbered).find(|name| !is_taken(name)).expect("numbers do not end");
        let own = OwnWeights { bytes: blob.size() as u64, source: WeightsSource::File(blob), origin };
        self.own.update_value(|all| drop(all.insert(name.clone(), own)));
        Some(name)
    }

    /// Lists a model of the visitor's, whose file has proved good. Returns what is now known about it, to be kept with its
    /// file; `None` if it was listed before.
    pub fn list_own(self, model: &str, facts: &ModelFacts) -> Option<(KeptModel, Blob)> {
        let manifest = self.manifest().filter(|manifest| manifest.named(model).is_none())?;
        let own = self.own.with_value(|own| own.get(model).cloned())?;
        let entry = ManifestEntry {
            name: model.into(),
            variant: facts.variant.clone(),
            classes: facts.classes.len(),
            bytes: own.bytes,
            parameters: facts.parameters,
            gflops: facts.gflops,
            input_size: facts.input_size,
            source: facts.source.clone(),
            ..ManifestEntry::default()
        };
        let mut manifest = Manifest::clone(&manifest);
        manifest.models.push(entry.clone());
        self.set(ModelList::Listed(Arc::new(manifest)));
        let WeightsSource::File(blob) = own.source else { return None };
        Some((KeptModel { entry, origin: own.origin }, blob))
    }

    /// Puts models that this browser keeps, with their URLs in its cache, on a list that is about to be shown.
    pub fn restore(self, kept: Vec<(KeptModel, String)>, manifest: &mut Manifest) {
        for (KeptModel { entry, origin }, url) in kept {
            // The site may have a model of that name by now, or no longer know the variant.
            if manifest.named(&entry.name).is_some() || Variant::named(&entry.variant).is_err() {
                continue;
            }
            let own = OwnWeights { source: WeightsSource::Kept(url), bytes: entry.bytes, origin };
            self.own.update_value(|all| drop(all.insert(entry.name.clone(), own)));
            self.set_kept(&entry.name);
            manifest.models.push(entry);
        }
    }

    /// This browser keeps a model from now on.
    pub fn set_kept(self, model: &str) {
        self.kept.update(|kept| {
            if !kept.iter().any(|name| name == model) {
                kept.push(model.into());
            }
        });
    }

    /// Drops a model of the visitor's: off the list, and out of this browser.
    pub fn remove_own(self, model: &str) {
        self.own.update_value(|own| drop(own.remove(model)));
        self.kept.update(|kept| kept.retain(|name| name != model));
        if let Some(manifest) = untrack(|| self.manifest()).filter(|manifest| manifest.named(model).is_some()) {
            let mut manifest = Manifest::clone(&manifest);
            manifest.models.retain(|entry| entry.name != model);
            self.set(ModelList::Listed(Arc::new(manifest)));
        }
    }
}
