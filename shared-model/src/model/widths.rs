//! Networks with fewer channels than their variant has: what pruning leaves, and how weight files say so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::graph::{Conv, Graph, Kernel, Node, Op};
use crate::model::weights::{FORMAT_VERSION, PRUNED_FORMAT_VERSION};

/// Output channels of dense convolutions, by the layers' names, where they are fewer than the variant's. All other counts
/// follow: a depthwise convolution yields a multiple of what it reads, a concatenation the sum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Channels(BTreeMap<String, usize>);

/// Why there is no network with these numbers of channels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the channels of {layer}: {problem}")]
pub struct ChannelsError {
    /// Name of the layer.
    pub layer: String,
    /// What is wrong.
    pub problem: String,
}

impl Channels {
    /// The counts of `narrow` that differ from those of `full`, the same layers with all their channels.
    pub fn of(narrow: &Graph, full: &Graph) -> Self {
        let layers = narrow.layers.iter().zip(&full.layers);
        let differing = layers.filter(|(narrow, full)| narrow.channels != full.channels && is_dense(&narrow.op));
        Self(differing.map(|(narrow, _)| (narrow.name.clone(), narrow.channels)).collect())
    }

    /// Whether the network has all of its variant's channels.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The version of weight files that can say this: programs that know nothing of pruning refuse those of pruned networks
    /// in a sentence, and go on reading all others.
    pub fn format_version(&self) -> u32 {
        if self.is_empty() { FORMAT_VERSION } else { PRUNED_FORMAT_VERSION }
    }
}

fn is_dense(op: &Op) -> bool {
    matches!(op, Op::Conv(Conv { kernel: Kernel::Dense(_), .. }))
}

impl Graph {
    /// The same layers with other numbers of channels.
    ///
    /// # Errors
    /// Fails where a count is of no dense convolution, or of a prediction; where it is 0 or more than this network's; and where
    /// counts do not fit each other: terms of a sum differ, or mixed kernels do not share their channels equally.
    pub fn with_channels(&self, channels: &Channels) -> Result<Self, ChannelsError> {
        let wrong = |layer: &str, problem: String| Err(ChannelsError { layer: layer.into(), problem });
        for name in channels.0.keys() {
            let found = self.layers.iter().position(|layer| layer.name == *name && is_dense(&layer.op));
            if found.is_none_or(|index| self.is_prediction(Node(index))) {
                return wrong(name, "there is no such convolution, or its channels cannot be chosen".into());
            }
        }
        let mut graph = self.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            let read: Vec<usize> = layer.inputs.iter().map(|&input| graph.channels(input)).collect();
            let count = match &layer.op {
                Op::Input | Op::SpaceToDepth => layer.channels,
                Op::Conv(Conv { kernel: Kernel::Dense(_), .. }) => {
                    let count = channels.0.get(&layer.name).copied().unwrap_or(layer.channels);
                    if !(1..=layer.channels).contains(&count) {
                        return wrong(&layer.name, format!("{count} is not from 1 to {}", layer.channels));
                    }
                    count
                }
                Op::Conv(Conv { kernel: Kernel::Depthwise(widths), .. }) => {
                    let count = read[0] * layer.channels / self.channels(layer.inputs[0]);
                    if !count.is_multiple_of(widths.len()) {
                        return wrong(&layer.name, format!("{count} do not fall into {} equal parts", widths.len()));
                    }
                    count
                }
                Op::MaxPool { .. } | Op::GlobalAvgPool | Op::Upsample => read[0],
                Op::Concat => read.iter().sum(),
                Op::Add | Op::Scale => {
                    if read[0] != read[1] {
                        return wrong(&layer.name, format!("{} and {} do not go together", read[0], read[1]));
                    }
                    read[0]
                }
            };
            graph.layers[index].channels = count;
        }
        Ok(graph)
    }

    /// Whether `node` is one of the network's outputs.
    pub fn is_prediction(&self, node: Node) -> bool {
        self.head.iter().any(|level| [level.reg, level.obj, level.cls].contains(&node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::variant::Variant;

    fn narrowed(variant: &str, counts: &[(&str, usize)]) -> Result<Graph, ChannelsError> {
        let channels = Channels(counts.iter().map(|&(name, count)| (name.into(), count)).collect());
        Variant::named(variant).unwrap().graph(3).with_channels(&channels)
    }

    #[test]
    fn counts_follow_through_depthwise_layers_and_concatenations() {
        let full = Variant::named("final").unwrap().graph(3);
        let counts = [("backbone.backbone.stem.conv", 12), ("head.stems.1", 40)];
        let graph = narrowed("final", &counts).unwrap();
        let of = |name: &str| graph.layers.iter().find(|layer| layer.name == name).unwrap().channels;
        assert_eq!(of("backbone.backbone.dark2.0.dconv"), 24, "two outputs an input");
        assert_eq!((of("head.cls_convs.1.0.dconv"), of("head.cls_convs.1.0.pconv"), of("head.stems.0")), (40, 64, 64));
        let channels = Channels::of(&graph, &full);
        assert_eq!(full.with_channels(&channels).unwrap(), graph);
        assert_eq!(channels.0.len(), 2, "depthwise layers are not named");
        assert_eq!(Channels::of(&full, &full), Channels::default());
    }

    #[test]
    fn impossible_counts_are_named() {
        for (counts, complaint) in [
            (&[("head.stems.7", 8)][..], "head.stems.7: there is no such convolution"),
            (&[("head.obj_preds.0", 1)], "head.obj_preds.0: there is no such"),
            (&[("head.stems.0", 0)], "head.stems.0: 0 is not from 1 to 64"),
            (&[("head.stems.0", 65)], "65 is not from 1 to 64"),
            (&[("backbone.backbone.dark4.1.m.0.conv1", 30)], "30 do not fall into 4 equal parts"),
            (&[("backbone.backbone.dark4.1.m.0.conv1", 32)], "32 and 64 do not go together"),
        ] {
            let error = narrowed("mdconv", counts).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
    }
}
