//! Differences between networks, in words.

use shared_model::graph::{Graph, Layer, Op};

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
        Change::Channels(was) => format!("{was} \u{2192} {} output channels", layer.channels),
        Change::ChannelsIn(was) => format!("{was} \u{2192} {channels_in} input channels"),
        Change::Inputs => format!("{now} reads other layers"),
        Change::Replaces(ops) => format!("{} \u{2192} {now}", joined(ops)),
        Change::Without(ops) => format!("{now} + {} \u{2192} {now} alone", joined(ops)),
    }
}

/// How a layer differs, in all respects.
pub fn difference(difference: &Difference, layer: &Layer, channels_in: usize) -> String {
    match difference {
        Difference::Same => "the same".into(),
        Difference::Added => "new".into(),
        Difference::Changed(changes) => {
            changes.iter().map(|item| change(item, layer, channels_in)).collect::<Vec<_>>().join("; ")
        }
    }
}

/// How a network differs, in a sentence.
pub fn summary(variant: &str, differences: &Differences) -> String {
    let ((changed, added), removed) = (differences.counts(), differences.removed.len());
    let layers = |count: usize| format!("{count} layer{}", if count == 1 { "" } else { "s" });
    if changed + added + removed == 0 {
        return format!("{variant} is the baseline itself: what the other variants are compared with.");
    }
    let part = |count: usize, text: &str| (count > 0).then(|| format!("{count} {text}"));
    let parts = [part(changed, "changed"), part(added, "new")].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let gone = match removed {
        0 => ".".into(),
        _ => format!("; {} of the baseline {} gone.", layers(removed), if removed == 1 { "is" } else { "are" }),
    };
    format!("{variant}: {} of {} differ from the baseline ({parts}){gone}", changed + added, layers(differences.layers.len()))
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
            Difference::Added => count(format!("new: {}", layer.op)),
            Difference::Changed(changes) => {
                let is_channels = |change: &&Change| matches!(change, Change::Channels(_) | Change::ChannelsIn(_));
                let main: Vec<String> = changes
                    .iter()
                    .filter(|change| !is_channels(change))
                    .map(|item| change(item, layer, graph.channels_in(layer)))
                    .collect();
                let only_channels = || format!("{}: other channels", layer.op);
                count(if main.is_empty() { only_channels() } else { main.join("; ") });
            }
        }
    }
    for layer in &differences.removed {
        count(format!("gone: {}", layer.op));
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
        assert_eq!(of("baseline").0, "baseline is the baseline itself: what the other variants are compared with.");
        assert!(of("fpn2").0.starts_with("fpn2: 6 of "), "{}", of("fpn2").0);
        assert!(of("fpn2").0.ends_with("differ from the baseline (1 changed, 5 new)."), "{}", of("fpn2").0);
        assert!(of("ghost").0.contains("of the baseline are gone."), "{}", of("ghost").0);
    }
}
