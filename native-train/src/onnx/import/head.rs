//! The network's last convolutions, which predict: where recognition begins, since nothing else tells the head's two
//! branches apart, or how many classes there are.

use std::collections::{BTreeMap, HashMap, HashSet};

use shared_model::Graph;

use super::ImportError;
use super::normalise::Network;
use super::operation::Operation;

/// Most classes of a network whose predictions cannot be told.
const MAX_CLASSES: usize = 10_000;

/// The predictions of one level of the pyramid: for boxes, objectness and classes.
type Level<'a> = [&'a Operation; 3];

impl Network {
    /// The predicting convolutions by level, the finest first.
    fn levels(&self) -> Option<Vec<Level<'_>>> {
        let mut lead_to_convolutions: HashSet<&str> = HashSet::new();
        let mut levels: BTreeMap<usize, Vec<&Operation>> = BTreeMap::new();
        for operation in self.operations.iter().rev() {
            let leads = operation.outputs.iter().any(|output| lead_to_convolutions.contains(output.as_str()));
            if operation.name == "Conv" && !leads {
                let &[_, _, height, _] = self.shape(&operation.outputs[0])? else { return None };
                levels.entry(height).or_default().push(operation);
            }
            if operation.name == "Conv" || leads {
                lead_to_convolutions.extend(operation.inputs.iter().map(String::as_str));
            }
        }
        (levels.len() == 3).then_some(())?;
        levels.into_values().rev().map(|level| self.level(level.try_into().ok()?)).collect()
    }

    fn level<'a>(&self, found: [&'a Operation; 3]) -> Option<Level<'a>> {
        let channels = |operation: &Operation| self.shape(operation.inputs.get(1)?)?.first().copied();
        let mut orders =
            [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]].map(|order| order.map(|i| found[i]));
        // Boxes and objectness come from the same features.
        orders.sort_by_key(|[reg, obj, _]| reg.inputs.first() != obj.inputs.first());
        orders.into_iter().find(|[reg, obj, cls]| {
            channels(reg) == Some(4) && channels(obj) == Some(1) && channels(cls).is_some_and(|classes| classes > 0)
        })
    }

    /// Channels of the last convolution that has most of them: the number of classes where nothing better is known.
    fn most_channels(&self) -> Option<usize> {
        let last = self.operations.iter().rev().filter(|operation| operation.name == "Conv").take(9);
        last.filter_map(|operation| self.shape(operation.inputs.get(1)?)?.first().copied()).max()
    }

    /// Brings the operations into the order in which the predictions need them, whatever the file's is, and counts the
    /// classes. Where predictions cannot be told, as sizes do not fit, they stay as they are, for recognition to find out.
    pub(super) fn sort(&mut self) -> Result<usize, ImportError> {
        let nothing = || ImportError::Output("it has no convolutions".into());
        let Some(levels) = self.levels() else {
            return self.most_channels().filter(|channels| (1..=MAX_CLASSES).contains(channels)).ok_or_else(nothing);
        };
        let mut classes = levels.iter().filter_map(|[_, _, cls]| self.shape(&cls.inputs[1])?.first().copied());
        let first = classes.next().ok_or_else(nothing)?;
        if classes.any(|classes| classes != first) {
            return Err(ImportError::Output("its levels have different numbers of classes".into()));
        }
        let ends: Vec<&str> = levels.iter().flatten().map(|operation| operation.outputs[0].as_str()).collect();
        let producers: HashMap<&str, usize> = self
            .operations
            .iter()
            .enumerate()
            .flat_map(|(i, operation)| operation.outputs.iter().map(move |output| (output.as_str(), i)))
            .collect();
        let inputs = |i: usize| {
            let inputs = self.operations[i].inputs.iter();
            inputs.filter_map(|input| producers.get(input.as_str()).copied()).collect()
        };
        let mut order = depth_first(ends.iter().map(|end| producers[end]).collect(), self.operations.len(), inputs);
        let placed: HashSet<usize> = order.iter().copied().collect();
        order.extend((0..self.operations.len()).filter(|i| !placed.contains(i)));
        self.operations = order.into_iter().map(|i| self.operations[i].clone()).collect();
        Ok(first)
    }
}

/// Positions of a graph's layers in the order in which the predictions need them.
pub(super) fn order(graph: &Graph) -> Vec<usize> {
    let ends = graph.head.iter().flat_map(|level| [level.reg, level.obj, level.cls]).map(|node| node.0).collect();
    depth_first(ends, graph.layers.len(), |i| graph.layers[i].inputs.iter().map(|input| input.0).collect())
}

/// The nodes that `ends` depend on, each after its inputs, as early as the first of `ends` needs it.
fn depth_first(ends: Vec<usize>, count: usize, inputs: impl Fn(usize) -> Vec<usize>) -> Vec<usize> {
    let mut seen = vec![false; count];
    let mut order = Vec::new();
    // Nodes, and whether their inputs are there already; the next one is the last.
    let mut waiting: Vec<(usize, bool)> = ends.into_iter().rev().map(|end| (end, false)).collect();
    while let Some((node, ready)) = waiting.pop() {
        if ready {
            order.push(node);
        } else if !std::mem::replace(&mut seen[node], true) {
            waiting.push((node, true));
            waiting.extend(inputs(node).into_iter().rev().map(|input| (input, false)));
        }
    }
    order
}
