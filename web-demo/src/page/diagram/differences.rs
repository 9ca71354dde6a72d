//! What of a network differs from another one, layer by layer.

use std::collections::{BTreeMap, BTreeSet};

use shared_model::graph::{Graph, Layer, Op};

/// How a network differs from another.
#[derive(Clone, Debug, PartialEq)]
pub struct Differences {
    /// One entry a layer, in [`Graph::layers`]' order.
    pub layers: Vec<Difference>,
    /// Layers of the other network that nothing here stands for.
    pub removed: Vec<Layer>,
}

/// How a layer differs from its counterpart.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// It does not.
    Same,
    /// In these respects.
    Changed(Vec<Change>),
    /// There is no counterpart.
    Added,
}

/// A respect in which a layer differs from its counterpart.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It was this operation.
    Op(Op),
    /// It had this many output channels.
    Channels(usize),
    /// It read this many input channels.
    ChannelsIn(usize),
    /// It read other layers.
    Inputs,
    /// It stands where these operations stood.
    Replaces(Vec<Op>),
    /// These operations, which belonged to it, are gone.
    Without(Vec<Op>),
}

impl Differences {
    /// How many layers have a counterpart that is not the same, and how many have none.
    pub fn counts(&self) -> (usize, usize) {
        let count = |is: fn(&Difference) -> bool| self.layers.iter().filter(|layer| is(layer)).count();
        (count(|layer| matches!(layer, Difference::Changed(_))), count(|layer| *layer == Difference::Added))
    }
}

/// The convolution that a depthwise and a pointwise layer are the halves of: they come and go, the rest of the network
/// sees the same place.
fn place(name: &str) -> &str {
    name.strip_suffix(".dconv").or_else(|| name.strip_suffix(".pconv")).unwrap_or(name)
}

/// The names of layers, each with how many of the same name came before: a block's concatenations in front of it and in it
/// share a name.
fn keys(graph: &Graph) -> Vec<(&str, usize)> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut keys = Vec::with_capacity(graph.layers.len());
    for name in graph.layers.iter().map(|layer| layer.name.as_str()) {
        let count = seen.entry(name).or_default();
        keys.push((name, *count));
        *count += 1;
    }
    keys
}

/// How `graph` differs from `base`. Layers are compared by their names.
pub fn differences(graph: &Graph, base: &Graph) -> Differences {
    let counterparts: BTreeMap<(&str, usize), &Layer> = keys(base).into_iter().zip(&base.layers).collect();
    let names = |graph: &'_ Graph| graph.layers.iter().map(|layer| layer.name.clone()).collect::<BTreeSet<_>>();
    let (here, there) = (names(graph), names(base));
    let is_gone = |layer: &&Layer| !here.contains(&layer.name);

    // Layers that are gone, by the place that is still there: they count there, at its first layer.
    let mut gone: BTreeMap<&str, Vec<&Layer>> = BTreeMap::new();
    for layer in base.layers.iter().filter(is_gone) {
        gone.entry(place(&layer.name)).or_default().push(layer);
    }

    let mut compare = |(layer, key): (&Layer, (&str, usize))| {
        let mut changes = Vec::new();
        let before = counterparts.get(&key).copied();
        if let Some(before) = before {
            if layer.op != before.op {
                changes.push(Change::Op(before.op.clone()));
            }
            if layer.channels != before.channels {
                changes.push(Change::Channels(before.channels));
            }
            let read = base.channels_in(before);
            if graph.channels_in(layer) != read {
                changes.push(Change::ChannelsIn(read));
            }
            let pairs = layer.inputs.iter().zip(&before.inputs);
            let are_same = layer.inputs.len() == before.inputs.len()
                && pairs.into_iter().all(|(&now, &then)| {
                    let (now, then) = (&graph.layer(now).name, &base.layer(then).name);
                    // What is new in the place of what is gone is no change of the layer that reads it.
                    place(now) == place(then) || (!there.contains(now) && !here.contains(then))
                });
            if !are_same {
                changes.push(Change::Inputs);
            }
        }
        if let Some(layers) = gone.remove(place(&layer.name)) {
            let ops = layers.into_iter().map(|layer| layer.op.clone()).collect();
            changes.push(if before.is_some() { Change::Without(ops) } else { Change::Replaces(ops) });
        }
        match (before, changes.is_empty()) {
            (None, true) => Difference::Added,
            (Some(_), true) => Difference::Same,
            (_, false) => Difference::Changed(changes),
        }
    };
    let layers = graph.layers.iter().zip(keys(graph)).map(&mut compare).collect();
    let removed = base.layers.iter().filter(is_gone).filter(|layer| gone.contains_key(place(&layer.name)));
    Differences { layers, removed: removed.cloned().collect() }
}

#[cfg(test)]
mod tests {
    use shared_model::{VARIANTS, Variant};

    use super::*;

    fn of(variant: &str) -> (Graph, Differences) {
        let graph = Variant::named(variant).unwrap().graph(20);
        let differences = differences(&graph, &VARIANTS[0].graph(20));
        (graph, differences)
    }

    fn layer<'a>((graph, differences): &'a (Graph, Differences), name: &str) -> &'a Difference {
        &differences.layers[graph.layers.iter().position(|layer| layer.name == name).unwrap()]
    }

    fn op(name: &str) -> Op {
        let graph = VARIANTS[0].graph(20);
        graph.layers.into_iter().find(|layer| layer.name == name).unwrap().op
    }

    #[test]
    fn the_baseline_is_itself() {
        let (_, differences) = of("baseline");
        assert!(differences.layers.iter().all(|layer| *layer == Difference::Same) && differences.removed.is_empty());
    }

    #[test]
    fn a_mixed_kernel_replaces_both_halves() {
        let mdconv = of("mdconv");
        let halves = ["dconv", "pconv"].map(|half| op(&format!("backbone.backbone.dark3.1.m.0.conv2.{half}")));
        assert_eq!(
            *layer(&mdconv, "backbone.backbone.dark3.1.m.0.conv2"),
            Difference::Changed(vec![Change::Replaces(halves.to_vec())])
        );
        // Its reader is the same as before; the neck has wider kernels.
        assert_eq!(*layer(&mdconv, "backbone.backbone.dark3.1.m.0.add"), Difference::Same);
        let before = op("backbone.C3_p4.m.0.conv2.dconv");
        assert_eq!(*layer(&mdconv, "backbone.C3_p4.m.0.conv2.dconv"), Difference::Changed(vec![Change::Op(before)]));
        assert!(mdconv.1.removed.is_empty());
    }

    #[test]
    fn a_lost_half_counts_where_the_other_one_stays() {
        let dw3 = of("dw3");
        let lost = op("backbone.backbone.dark3.0.pconv");
        let changes = vec![Change::Channels(32), Change::Without(vec![lost])];
        assert_eq!(*layer(&dw3, "backbone.backbone.dark3.0.dconv"), Difference::Changed(changes));
        assert_eq!(dw3.1.counts().1, 0);
        assert!(dw3.1.removed.is_empty());
    }

    #[test]
    fn one_more_level_is_new_and_its_reader_reads_it() {
        let fpn2 = of("fpn2");
        assert_eq!(fpn2.1.counts(), (1, 5));
        assert_eq!(*layer(&fpn2, "backbone.dark2_pool"), Difference::Added);
        assert_eq!(*layer(&fpn2, "backbone.C3_n3.concat"), Difference::Changed(vec![Change::Inputs]));
    }

    #[test]
    fn another_backbone_leaves_neck_and_head_as_they_are() {
        let (graph, differences) = of("ghost");
        for (layer, difference) in graph.layers.iter().zip(&differences.layers) {
            let is_stage = layer.name.starts_with("backbone.backbone.dark");
            assert_eq!(*difference == Difference::Same, !is_stage, "{}: {difference:?}", layer.name);
        }
        assert!(differences.removed.iter().all(|layer| layer.name.starts_with("backbone.backbone.dark")));
        assert!(!differences.removed.is_empty());
    }
}
