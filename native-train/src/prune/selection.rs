//! Which channels leave.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use shared_model::{Channel, Cost, CoupledChannels, Graph, Group, cost, dependency_groups};

use super::ChannelScores;

/// What a network has less of when it is smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Measure {
    /// Trained numbers.
    #[default]
    Parameters,
    /// Operations on an image.
    Gflops,
}

impl Measure {
    /// How much of it a network has.
    pub fn of(self, cost: &Cost) -> f64 {
        match self {
            Self::Parameters => cost.parameters as f64,
            Self::Gflops => cost.gflops,
        }
    }
}

/// What a group keeps in any case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// A multiple of so many sets of coupled channels.
    pub multiple: usize,
    /// At least this part of them.
    pub least: f64,
    /// Whether groups are compared by their channels' scores as they are, not by their share of the group's mean.
    pub comparable: bool,
}

/// Some of a group's coupled channels, the least important that are left.
struct Cut {
    /// Their mean importance.
    score: f64,
    channels: Vec<Channel>,
}

/// The least important channels, until the network has at most `goal` of `measure` for an input of `size` x `size` pixels.
///
/// A set of coupled channels matters as much as its members' `scores` say together. Sets are compared across groups by their
/// share of the group's mean (as in DepGraph), as layers' scores have sizes of their own, unless all are `comparable`. A group keeps what `limits` say, and
/// of all strata equally many.
///
/// # Errors
/// Fails where the network cannot become so small.
pub fn select(
    graph: &Graph,
    scores: &ChannelScores,
    measure: Measure,
    goal: f64,
    limits: Limits,
    size: usize,
) -> Result<BTreeSet<Channel>> {
    let groups = dependency_groups(graph);
    let mut cuts: Vec<Cut> = groups.iter().flat_map(|group| cuts(group, scores, limits)).collect();
    // A group's own cuts are in this order already, and stay so where they are equal.
    cuts.sort_by(|a, b| a.score.total_cmp(&b.score));
    let mut narrow = graph.clone();
    let mut removed = BTreeSet::new();
    let mut amount = measure.of(&cost(graph, size, size));
    for cut in cuts {
        if amount <= goal {
            return Ok(removed);
        }
        removed.extend(cut.channels);
        let channels = graph.channels_without(&removed);
        narrow.layers.iter_mut().zip(channels).for_each(|(layer, channels)| layer.channels = channels);
        amount = measure.of(&cost(&narrow, size, size));
    }
    if amount > goal {
        let least = amount / measure.of(&cost(graph, size, size));
        bail!(
            "no less than {least:.3} of this network can be left in a round: ask for more rounds, or for less of each layer"
        );
    }
    Ok(removed)
}

/// What can leave a group, step by step.
fn cuts(group: &Group, scores: &ChannelScores, limits: Limits) -> Vec<Cut> {
    let Limits { multiple, least, comparable } = limits;
    let score =
        |set: &CoupledChannels| -> f64 { set.iter().map(|channel| scores[channel.layer.0][channel.index]).sum() };
    let scored = |stratum: &Vec<CoupledChannels>| {
        let mut sets: Vec<(f64, CoupledChannels)> = stratum.iter().map(|set| (score(set), set.clone())).collect();
        sets.sort_by(|a, b| a.0.total_cmp(&b.0));
        sets
    };
    let strata: Vec<Vec<(f64, CoupledChannels)>> = group.strata.iter().map(scored).collect();
    let (all, parts) = (group.len(), strata.len());
    let mean = strata.iter().flatten().map(|(score, _)| score).sum::<f64>() / all as f64;
    // Multiples that the strata can share equally.
    let unit = (1..).map(|i| i * multiple).find(|unit| unit.is_multiple_of(parts)).unwrap_or(multiple);
    let mut cuts = Vec::new();
    let mut kept = all;
    loop {
        let next = (kept - 1) / unit * unit;
        if next < unit || (next as f64) < least * all as f64 {
            return cuts;
        }
        let leaving = (all - kept) / parts..(all - next) / parts;
        let sets: Vec<_> = strata.iter().flat_map(|stratum| &stratum[leaving.clone()]).collect();
        let sum: f64 = sets.iter().map(|(score, _)| score).sum();
        let scale = if comparable { 1.0 } else { mean };
        let score = if scale > 0.0 { sum / (sets.len() as f64 * scale) } else { 0.0 };
        cuts.push(Cut { score, channels: sets.iter().flat_map(|(_, set)| set.iter().copied()).collect() });
        kept = next;
    }
}

#[cfg(test)]
mod tests {
    use shared_model::{VARIANTS, Weights};

    use super::*;
    use crate::prune::{Criterion, by_weights};

    #[test]
    fn all_variants_become_as_small_as_asked() {
        for variant in &VARIANTS {
            let weights = Weights::random(variant, 20, 0);
            let graph = weights.graph().unwrap();
            let scores = by_weights(&weights, Criterion::L1).unwrap();
            let before = cost(&graph, 416, 416);
            for (measure, share, multiple, least) in [
                (Measure::Parameters, 0.8, 4, 0.5),
                (Measure::Gflops, 0.6, 8, 0.5),
                (Measure::Parameters, 0.3, 1, 0.125),
            ] {
                let limits = Limits { multiple, least, comparable: multiple == 8 };
                let goal = share * measure.of(&before);
                let removed = select(&graph, &scores, measure, goal, limits, 416).unwrap();
                let narrow = weights.without(&removed).unwrap();
                let after = measure.of(&cost(&narrow.graph().unwrap(), 416, 416));
                assert!(after <= goal && after > 0.93 * goal, "{}: {after} for {goal}", variant.name);
            }
            assert!(
                select(
                    &graph,
                    &scores,
                    Measure::Parameters,
                    1.0,
                    Limits { multiple: 4, least: 0.5, comparable: false },
                    416
                )
                .is_err()
            );
        }
    }

    #[test]
    fn the_least_important_leave_first_and_a_floor_stays() {
        let weights = Weights::random(&VARIANTS[0], 3, 0);
        let graph = weights.graph().unwrap();
        let groups = dependency_groups(&graph);
        let group = groups.iter().find(|group| group.len() == 64).unwrap();
        let mut scores: ChannelScores = graph.layers.iter().map(|layer| vec![1.0; layer.channels]).collect();
        for set in &group.strata[0][8..16] {
            set.iter().for_each(|channel| scores[channel.layer.0][channel.index] = 0.5);
        }
        assert_eq!(
            cuts(group, &scores, Limits { multiple: 8, least: 0.5, comparable: false }).len(),
            4,
            "32 of 64 stay"
        );
        let cuts = cuts(group, &scores, Limits { multiple: 8, least: 0.1, comparable: true });
        assert_eq!(cuts.len(), 7, "8 of 64 stay");
        let first: BTreeSet<Channel> = cuts[0].channels.iter().copied().collect();
        assert_eq!(first, group.strata[0][8..16].iter().flatten().copied().collect());
        assert!(cuts[0].score < cuts[1].score && cuts.windows(2).all(|pair| pair[0].score <= pair[1].score));
    }
}
