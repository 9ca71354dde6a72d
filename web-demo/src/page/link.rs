//! The page's address as a bookmark: which models, thresholds and sample are on show stands behind the `#`, as in
//! `#v=baseline,final&score=0.35&s=chelsea`.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use shared_model::{Manifest, ManifestEntry, Protocol};

use super::state::{OVERLAPS, PageView, SCORES, sized_name, split_size};

/// What has a meaning in the hash, or cannot stand in an address, is written as `%` and two digits.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'@').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What a link says. What it does not mention is as the page has it by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Link {
    pub view: Option<PageView>,
    /// Names of models or variants, from left to right; see [`Link::models_in`].
    pub models: Vec<String>,
    pub score: Option<f32>,
    /// The threshold of overlaps (IoU).
    pub max_iou: Option<f32>,
    /// Name of the sample on show.
    pub sample: Option<String>,
    /// The page's language, as HTML writes it (BCP 47).
    pub language: Option<String>,
    /// Names of classes whose boxes are hidden.
    pub hidden: Vec<String>,
    /// URL of weights, which are fetched if the visitor agrees.
    pub weights: Option<String>,
}

impl Link {
    /// Reads an address's hash, with or without its `#`. What makes no sense there is left out, and thresholds are
    /// moved into their ranges.
    pub fn parse(hash: &str) -> Self {
        let mut link = Self::default();
        for part in hash.trim_start_matches('#').split('&') {
            let Some((key, value)) = part.split_once('=') else { continue };
            match key {
                "v" => link.models = list(value),
                "score" => link.score = number(value, SCORES),
                "nms" => link.max_iou = number(value, OVERLAPS),
                "s" => link.sample = decode(value),
                "view" => link.view = decode(value).and_then(|name| PageView::named(&name)),
                "lang" => link.language = decode(value),
                "hide" => link.hidden = list(value),
                "w" => link.weights = decode(value),
                _ => {}
            }
        }
        link
    }

    /// The hash with its `#`, without what the link does not say and the default view; empty if nothing is left.
    pub fn to_hash(&self) -> String {
        let view = self.view.filter(|view| *view != PageView::default()).map(|view| view.name().into());
        let parts = [
            ("view", view),
            ("v", joined(&self.models)),
            ("score", self.score.map(rounded)),
            ("nms", self.max_iou.map(rounded)),
            ("s", self.sample.as_deref().map(encode)),
            ("hide", joined(&self.hidden)),
            ("lang", self.language.as_deref().map(encode)),
            ("w", self.weights.as_deref().map(encode)),
        ];
        let parts: Vec<_> = parts.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?))).collect();
        if parts.is_empty() { String::new() } else { format!("#{}", parts.join("&")) }
    }

    /// Names of the models that the link means, at sizes of their own or others; those that the manifest opens with, if it
    /// means none.
    pub fn models_in(&self, manifest: &Manifest) -> Vec<String> {
        let named: Vec<String> = self.models.iter().filter_map(|name| resolve_at_size(name, manifest)).collect();
        if named.is_empty() { default_models(manifest) } else { named }
    }
}

/// Names of the models that the page opens with: those that the manifest names, else its default one and the next.
pub fn default_models(manifest: &Manifest) -> Vec<String> {
    let opening: Vec<String> = manifest.opening.iter().filter(|name| manifest.named(name).is_some()).cloned().collect();
    if !opening.is_empty() {
        return opening;
    }
    let others = manifest.models.iter().map(|entry| &entry.name).filter(|name| **name != manifest.default);
    std::iter::once(&manifest.default).chain(others).take(2).cloned().collect()
}

/// The model that a link means by `name`: the one of that name, else the first one of the variant of that name, those from
/// random weights last.
fn resolve<'a>(name: &str, manifest: &'a Manifest) -> Option<&'a ManifestEntry> {
    let of_variant = || {
        let models = manifest.models.iter().filter(|entry| entry.variant == name);
        models.min_by_key(|entry| entry.protocol == Some(Protocol::Random))
    };
    manifest.named(name).or_else(of_variant)
}

/// The name of the model that a link means by `name`, which may say a size.
fn resolve_at_size(name: &str, manifest: &Manifest) -> Option<String> {
    let (model, size) = split_size(name);
    let entry = resolve(model, manifest)?;
    Some(match size {
        Some(side) if side != entry.input_size => sized_name(&entry.name, side),
        _ => entry.name.clone(),
    })
}

fn number(value: &str, range: RangeInclusive<f32>) -> Option<f32> {
    let number: f32 = value.parse().ok().filter(|number: &f32| number.is_finite())?;
    Some(number.clamp(*range.start(), *range.end()))
}

/// As far as sliders tell numbers apart.
fn rounded(number: f32) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').into()
}

/// Each name once.
fn list(value: &str) -> Vec<String> {
    let mut seen = HashSet::new();
    value.split(',').filter_map(decode).filter(|name| seen.insert(name.clone())).collect()
}

fn joined(names: &[String]) -> Option<String> {
    let names: Vec<_> = names.iter().map(|name| encode(name)).collect();
    (!names.is_empty()).then(|| names.join(","))
}

/// `None` for nothing, and for bytes that are no text.
fn decode(value: &str) -> Option<String> {
    let text = percent_decode_str(value).decode_utf8().ok()?;
    (!text.is_empty()).then(|| text.into_owned())
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_example_is_read_and_written() {
        let hash = "#v=baseline,final&score=0.35&s=chelsea";
        let link = Link {
            models: strings(&["baseline", "final"]),
            score: Some(0.35),
            sample: Some("chelsea".into()),
            ..Link::default()
        };
        assert_eq!(Link::parse(hash), link);
        assert_eq!(link.to_hash(), hash);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let link = Link {
            view: Some(PageView::Benchmark),
            models: strings(&["baseline-coco", "my own & best, 100 %.safetensors", "내 모델"]),
            score: Some(0.3),
            max_iou: Some(0.45),
            sample: Some("a=b#c".into()),
            language: Some("ko".into()),
            hidden: strings(&["traffic light", "cup, mug"]),
            weights: Some("https://example.org/my.safetensors?a=1&b=2#c".into()),
        };
        let hash = link.to_hash();
        assert_eq!(Link::parse(&hash), link);
        assert!(hash.is_ascii() && !hash[1..].contains(['#', ' ']), "{hash}");
        for view in PageView::ALL {
            assert_eq!(PageView::named(view.name()), Some(view));
        }
    }

    #[test]
    fn defaults_are_not_written() {
        assert_eq!(Link::default().to_hash(), "");
        assert_eq!(Link { view: Some(PageView::Compare), ..Link::default() }.to_hash(), "");
        let slid = Link { score: Some(0.1 + 0.2), max_iou: Some(0.5), ..Link::default() };
        assert_eq!(slid.to_hash(), "#score=0.3&nms=0.5");
    }

    #[test]
    fn junk_is_ignored() {
        for hash in [
            "",
            "#",
            "#&&=&",
            "#v",
            "#v=",
            "#v=,,",
            "#score=",
            "#score=high",
            "#score=NaN",
            "#nms=inf",
            "#s=",
            "#view=cellar",
            "#lang=",
            "#hide=%FF",
            "#utm_source=x",
            "#top",
            "##",
        ] {
            assert_eq!(Link::parse(hash), Link::default(), "{hash}");
        }
        let link = Link::parse("v=a,,a,%ff,b,100%&x=1&score=0.5&score=0.6&s=%");
        assert_eq!(link.models, ["a", "b", "100%"]);
        assert_eq!((link.score, link.sample.as_deref()), (Some(0.6), Some("%")), "the last one counts");
    }

    #[test]
    fn thresholds_are_moved_into_their_ranges() {
        for (hash, score, max_iou) in
            [("#score=-3&nms=0", 0.01, 0.05), ("#score=7e9&nms=1", 0.95, 0.95), ("#score=.5&nms=0.5", 0.5, 0.5)]
        {
            let link = Link::parse(hash);
            assert_eq!((link.score, link.max_iou), (Some(score), Some(max_iou)), "{hash}");
        }
    }

    #[test]
    fn models_go_by_their_names_or_by_their_variants() {
        let manifest = Manifest::from_json(include_str!("../../../models/manifest.json")).unwrap();
        let name = |name| resolve(name, &manifest).map(|entry| entry.name.as_str());
        assert_eq!(name("baseline-voc"), Some("baseline-voc"));
        assert_eq!(name("baseline"), Some("baseline-coco"));
        assert_eq!(name("final"), Some("final-voc"));
        for variant in shared_model::VARIANTS {
            let of_variant: Vec<_> = manifest.models.iter().filter(|entry| entry.variant == variant.name).collect();
            let found = resolve(variant.name, &manifest);
            let only_random = of_variant.iter().all(|entry| entry.protocol == Some(Protocol::Random));
            let is_random = found.is_none_or(|entry| entry.protocol == Some(Protocol::Random));
            assert_eq!(is_random, only_random, "{}", variant.name);
        }
        let sized = |hash| Link::parse(hash).models_in(&manifest);
        assert_eq!(sized("#v=baseline@640,final@416,baseline"), ["baseline-coco@640", "final-voc", "baseline-coco"]);
        let link = Link { models: sized("#v=baseline@640"), ..Link::default() };
        assert_eq!(link.to_hash(), "#v=baseline-coco@640");
        assert_eq!(name("Baseline"), None);
        assert_eq!(name(""), None);
    }
}
