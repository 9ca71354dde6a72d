//! Differences between networks, in words.

use shared_model::graph::{Graph, Layer, Op};

use crate::page::language::text;
use crate::page::plan::{Change, Difference, Differences};

/// "depthwise 3x3 + conv 1x1".
fn joined(ops: &[Op]) -> String {
    ops.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ")
}

/// What a change is, of a layer that reads `channels_in` channels.
pub fn change(change: &Change, layer: &Layer, channels_in: usize) -> String {
    let now = &layer.op;
    match change {
        Change::Op(was) => format!("{was} \u{2192} {now}"),
        Change::Channels(was) => text!("%{was} \u{2192} %{now} output channels", was = was, now = layer.channels),
        Change::ChannelsIn(was) => text!("%{was} \u{2192} %{now} input channels", was = was, now = channels_in),
        Change::Inputs => text!("%{op} of other layers", op = now),
        Change::Replaces(ops) => format!("{} \u{2192} {now}", joined(ops)),
        Change::Without(ops) => text!("%{op} + %{lost} \u{2192} %{op} alone", op = now, lost = joined(ops)),
    }
}

/// How a layer differs, in all respects.
pub fn difference(difference: &Difference, layer: &Layer, channels_in: usize) -> String {
    match difference {
        Difference::Same => text!("the same"),
        Difference::Added => text!("new"),
        Difference::Changed(changes) => {
            changes.iter().map(|item| change(item, layer, channels_in)).collect::<Vec<_>>().join("; ")
        }
    }
}

/// How a network differs, in a sentence.
pub fn summary(variant: &str, differences: &Differences) -> String {
    let ((changed, added), removed) = (differences.counts(), differences.removed.len());
    if changed + added + removed == 0 {
        return text!("%{variant}: what the other variants are compared with.", variant = variant);
    }
    text!(
        "%{variant}: of %{count} layers, %{changed} are changed against the baseline and %{added} are new; %{removed} of the baseline's are gone.",
        variant = variant,
        count = differences.layers.len(),
        changed = changed,
        added = added,
        removed = removed
    )
}

/// Equal differences counted together, the most frequent first. Numbers of channels, which follow from other changes, are left out.
pub fn groups(graph: &Graph, differences: &Differences) -> Vec<(String, usize)> {
    let mut groups: Vec<(String, usize)> = Vec::new();
    let mut count = |text: String| match groups.iter_mut().find(|(known, _)| *known == text) {
        Some((_, count)) => *count += 1,
        None => groups.push((text, 1)),
    };
    for (layer, difference) in graph.layers.iter().zip(&differences.layers) {
        match difference {
            Difference::Same => {}
            Difference::Added => count(text!("new: %{op}", op = layer.op)),
            Difference::Changed(changes) => {
                let is_channels = |change: &&Change| matches!(change, Change::Channels(_) | Change::ChannelsIn(_));
                let main: Vec<String> = changes
                    .iter()
                    .filter(|change| !is_channels(change))
                    .map(|item| change(item, layer, graph.channels_in(layer)))
                    .collect();
                let only_channels = || text!("%{op}: other channels", op = layer.op);
                count(if main.is_empty() { only_channels() } else { main.join("; ") });
            }
        }
    }
    for layer in &differences.removed {
        count(text!("gone: %{op}", op = layer.op));
    }
    groups.sort_by_key(|(_, count)| usize::MAX - count);
    groups
}

#[cfg(test)]
mod tests {
    use shared_model::{VARIANTS, Variant};

    use super::*;
    use crate::page::plan::differences;

    fn of(variant: &str) -> (String, Vec<(String, usize)>) {
        let graph = Variant::named(variant).unwrap().graph(20);
        let differences = differences(&graph, &VARIANTS[0].graph(20));
        (summary(variant, &differences), groups(&graph, &differences))
    }

    #[test]
    fn equal_changes_are_counted_together() {
        let (_, groups) = of("mdconv");
        let has = |text: &str, count: usize| assert!(groups.contains(&(text.into(), count)), "{groups:?}");
        has("depthwise 3x3 + conv 1x1 \u{2192} depthwise 3x3+5x5", 1);
        has("depthwise 3x3 + conv 1x1 \u{2192} depthwise 3x3+5x5+7x7+9x9", 7);
        has("depthwise 3x3 \u{2192} depthwise 7x7", 4);
        has("depthwise 3x3 /2 \u{2192} depthwise 7x7 /2", 2);
        assert_eq!(groups.len(), 4, "{groups:?}");
    }

    #[test]
    fn a_sentence_for_every_variant() {
        assert_eq!(of("baseline").0, "baseline: what the other variants are compared with.");
        assert!(
            of("fpn2").0.ends_with("1 are changed against the baseline and 5 are new; 0 of the baseline's are gone."),
            "{}",
            of("fpn2").0
        );
    }
}
