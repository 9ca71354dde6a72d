//! Differences between networks, in words.

use shared_model::graph::{Graph, Layer, Op};

use crate::page::diagram::{Change, Difference, Differences};
use crate::page::language::text;

/// What stood where a layer stands: "depthwise 3x3 + conv 1x1 \u{2192} depthwise 7x7". None if its operation is as it was.
fn operation(changes: &[Change], layer: &Layer) -> Option<String> {
    let mut before: Vec<&Op> = Vec::new();
    for change in changes {
        match change {
            Change::Op(was) => before.push(was),
            Change::Replaces(ops) => before.extend(ops),
            // Of a layer whose own operation is the same.
            Change::Without(ops) => {
                if before.is_empty() {
                    before.push(&layer.op);
                }
                before.extend(ops);
            }
            Change::Channels(_) | Change::ChannelsIn(_) | Change::Inputs => {}
        }
    }
    let before = before.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ");
    (!before.is_empty()).then(|| format!("{before} \u{2192} {}", layer.op))
}

/// How a layer differs, in all respects.
pub fn difference(difference: &Difference, layer: &Layer, channels_in: usize) -> String {
    let changes = match difference {
        Difference::Same => return text!("the same"),
        Difference::Added => return text!("new"),
        Difference::Changed(changes) => changes,
    };
    let others = changes.iter().filter_map(|change| match change {
        Change::Channels(was) => Some(text!("%{was} \u{2192} %{now} output channels", was = was, now = layer.channels)),
        Change::ChannelsIn(was) => Some(text!("%{was} \u{2192} %{now} input channels", was = was, now = channels_in)),
        Change::Inputs => Some(text!("%{op} of other layers", op = layer.op)),
        Change::Op(_) | Change::Replaces(_) | Change::Without(_) => None,
    });
    operation(changes, layer).into_iter().chain(others).collect::<Vec<_>>().join("; ")
}

/// How a network differs, in a sentence.
pub fn summary(variant: &str, differences: &Differences) -> String {
    let ((changed, added), removed) = (differences.counts(), differences.removed.len());
    if changed + added + removed == 0 {
        return text!("%{variant}: what the other variants are compared with.", variant = variant);
    }
    let count = differences.layers.len();
    if removed == 0 {
        return text!(
            "%{variant}: of %{count} layers, %{changed} are changed against the baseline and %{added} are new.",
            variant = variant,
            count = count,
            changed = changed,
            added = added
        );
    }
    text!(
        "%{variant}: of %{count} layers, %{changed} are changed against the baseline and %{added} are new; %{removed} of the baseline's are gone.",
        variant = variant,
        count = count,
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
                let inputs = || text!("%{op} of other layers", op = layer.op);
                let channels = || text!("%{op}: other channels", op = layer.op);
                let reads = changes.contains(&Change::Inputs);
                count(operation(changes, layer).unwrap_or_else(|| if reads { inputs() } else { channels() }));
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
    use crate::page::diagram::differences;

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
        let (_, groups) = of("final");
        assert!(groups.contains(&("depthwise 3x3 /2 + conv 1x1 \u{2192} depthwise 7x7 /2".into(), 4)), "{groups:?}");
    }

    #[test]
    fn a_sentence_for_every_variant() {
        assert_eq!(of("baseline").0, "baseline: what the other variants are compared with.");
        assert!(of("fpn2").0.ends_with("1 are changed against the baseline and 5 are new."), "{}", of("fpn2").0);
    }
}
