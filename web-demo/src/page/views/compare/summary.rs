//! The comparison in words.

use leptos::prelude::*;

use crate::page::compare::{Agreement, Comparison};
use crate::page::language::text;
use crate::page::panel::{WARM_RUNS, median};
use crate::page::state::State;
use crate::page::truth::Evaluation;
use crate::page::words;

/// Times closer than this part are called equal: nobody would choose by less.
const SAME_TIME: f64 = 0.03;

/// The most pairs of runs, one of each model, in which the faster one may be slower: two-sided 5 % for [`WARM_RUNS`] = 5 runs
/// each (Mann and Whitney 1947, <https://doi.org/10.1214/aoms/1177730491>, table I).
const CRITICAL_U: usize = 2;

/// A few sentences on who finds what, and who is faster.
#[component]
pub fn Summary() -> impl IntoView {
    let state = State::get();
    let sentences = Memo::new(move |_| {
        let panels = state.panels.shown();
        let names: Vec<String> = panels.iter().map(|panel| panel.name()).collect();
        let times: Vec<Vec<f64>> = panels.iter().map(|panel| state.network_times(*panel)).collect();
        let mut sentences = found(&state.display.comparison.read(), &names);
        sentences.extend(speed(&names, &times));
        sentences
    });
    view! {
        <Show when=move || !sentences.read().is_empty()>
            <p class="summary" aria-live="polite" data-testid="words">
                {move || sentences.get().into_iter().map(|sentence| view! { <span>{sentence}" "</span> }).collect_view()}
            </p>
        </Show>
    }
}

/// Who finds what, once all have looked.
fn found(comparison: &Comparison, names: &[String]) -> Vec<String> {
    if comparison.predictions.len() != names.len() || comparison.predictions.iter().any(Option::is_none) {
        return Vec::new();
    }
    if let Some(truth) = &comparison.truth {
        return evaluated(comparison, names, truth.objects.iter().filter(|object| !object.difficult).count());
    }
    let objects = &comparison.objects;
    match names {
        [] | [_] => Vec::new(),
        [a, b] => {
            let only = |panel: usize| objects.iter().filter(|object| object.is(panel, Agreement::Only)).count();
            let agreed = objects.iter().filter(|object| object.is_agreed()).count();
            let (a_only, b_only) = (only(0), only(1));
            let mut sentences = Vec::new();
            if objects.is_empty() {
                return vec![text!("Neither model finds anything here.")];
            }
            if a_only + b_only == 0 {
                return vec![text!("Both find the same %{objects}.", objects = words::objects(agreed))];
            }
            for (count, finder, other) in [(a_only, a, b), (b_only, b, a)] {
                if count > 0 {
                    sentences.push(text!(
                        "%{finder} finds %{objects} that %{other} does not.",
                        finder = finder,
                        objects = words::objects(count),
                        other = other
                    ));
                }
            }
            if agreed > 0 {
                sentences.push(text!("They agree on %{objects}.", objects = words::objects(agreed)));
            }
            sentences
        }
        _ => {
            let agreed = objects.iter().filter(|object| object.is_agreed()).count();
            let mut sentences = vec![text!(
                "Of %{objects}, all models find %{agreed}.",
                objects = words::objects(objects.len()),
                agreed = agreed
            )];
            let count = |panel: usize| objects.iter().filter(|object| object.boxes[panel].is_some()).count();
            let most = (0..names.len()).map(count).max().unwrap_or_default();
            let best: Vec<&str> = (0..names.len()).filter(|i| count(*i) == most).map(|i| names[i].as_str()).collect();
            if best.len() < names.len() {
                sentences.push(text!("Most are found by %{names}: %{count}.", names = best.join(", "), count = most));
            }
            sentences
        }
    }
}

/// Who finds what is really there.
fn evaluated(comparison: &Comparison, names: &[String], all: usize) -> Vec<String> {
    let sentence = |(name, evaluation): (&String, &Option<Evaluation>)| {
        let evaluation = evaluation.as_ref()?;
        Some(text!(
            "%{name} finds %{hits} of %{all} (false alarms: %{alarms}).",
            name = name,
            hits = evaluation.true_positives(),
            all = all,
            alarms = evaluation.false_positives()
        ))
    };
    names.iter().zip(&comparison.evaluations).filter_map(sentence).collect()
}

/// Who is faster, once all have been timed; `times` are those of each model's runs.
fn speed(names: &[String], times: &[Vec<f64>]) -> Option<String> {
    if times.iter().any(|times| times.len() < WARM_RUNS) {
        return None;
    }
    let medians: Vec<f64> = times.iter().map(|times| median(times.clone())).collect::<Option<_>>()?;
    match (names, &medians[..]) {
        ([_, _], [first, second]) => {
            let (fast, slow) = if second > first { (0, 1) } else { (1, 0) };
            let part = medians[slow] / medians[fast] - 1.0;
            Some(if part < SAME_TIME || !differ(&times[fast], &times[slow]) {
                text!("Their times here do not differ beyond chance.")
            } else {
                text!(
                    "%{name} is %{percent} % slower here.",
                    name = names[slow],
                    percent = format!("{:.0}", 100.0 * part)
                )
            })
        }
        ([_, _, ..], _) => {
            let (fastest, ms) = names.iter().zip(&medians).min_by(|a, b| a.1.total_cmp(b.1))?;
            Some(text!("The fastest here is %{name}: %{ms} ms.", name = fastest, ms = format!("{ms:.1}")))
        }
        _ => None,
    }
}

/// Whether the first times are shorter beyond chance: Mann and Whitney's test, which disturbances of single runs do not move.
fn differ(fast: &[f64], slow: &[f64]) -> bool {
    let reversed = |time: &f64| slow.iter().filter(|other| *other <= time).count();
    fast.iter().map(reversed).sum::<usize>() <= CRITICAL_U
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::compare::Predictions;
    use shared_model::{BBox, Detection};

    fn comparison(panels: &[&[f32]]) -> Comparison {
        let predictions = |xs: &&[f32]| {
            let detection =
                |&x: &f32| Detection { class: 0, score: 0.5, bbox: BBox { x1: x, y1: 0.0, x2: x + 10.0, y2: 10.0 } };
            Some(Predictions { detections: xs.iter().map(detection).collect(), classes: vec!["cat".into()] })
        };
        Comparison::new(panels.iter().map(predictions).collect(), None)
    }

    #[test]
    fn two_models_are_told_apart_in_words() {
        let names = ["baseline".to_string(), "final".to_string()];
        let both = found(&comparison(&[&[0.0, 50.0], &[0.0, 100.0, 200.0]]), &names);
        assert_eq!(
            both,
            [
                "baseline finds 1 object that final does not.",
                "final finds 2 objects that baseline does not.",
                "They agree on 1 object."
            ]
        );
        assert_eq!(found(&comparison(&[&[0.0], &[0.0]]), &names), ["Both find the same 1 object."]);
        assert_eq!(found(&comparison(&[&[], &[]]), &names), ["Neither model finds anything here."]);
    }

    #[test]
    fn a_model_is_slower_only_beyond_chance() {
        let names = ["baseline".to_string(), "final".to_string()];
        let speed = |a: [f64; WARM_RUNS], b: [f64; WARM_RUNS]| speed(&names, &[a.to_vec(), b.to_vec()]);
        let (ten, more) = ([9.9, 10.0, 10.0, 10.1, 10.2], [11.2, 11.3, 11.4, 11.9, 15.0]);
        assert_eq!(speed(ten, more).unwrap(), "final is 14 % slower here.");
        assert_eq!(speed(more, ten).unwrap(), "baseline is 14 % slower here.");
        let chance = "Their times here do not differ beyond chance.";
        // Hardly any difference, however sure it is.
        assert_eq!(speed(ten, ten.map(|time| time + 0.25)).unwrap(), chance);
        // Times of one network on a busy machine.
        assert_eq!(speed([12.9, 13.0, 13.6, 20.0, 47.5], [15.0, 16.1, 24.1, 25.0, 27.4]).unwrap(), chance);
        // Two pairs of runs the other way round are no chance yet; three are.
        let fast = [10.0, 10.0, 10.0, 10.0, 11.5];
        assert_eq!(speed(fast, [11.2, 11.3, 12.0, 12.0, 12.0]).unwrap(), "final is 20 % slower here.");
        assert_eq!(speed(fast, [11.2, 11.3, 11.4, 12.0, 12.0]).unwrap(), chance);
        assert_eq!(super::speed(&names, &[ten.to_vec(), vec![10.0]]), None, "not measured yet");
    }

    #[test]
    fn of_several_models_the_best_is_named() {
        let names = ["a", "b", "c"].map(String::from);
        let words = found(&comparison(&[&[0.0], &[0.0, 50.0], &[0.0]]), &names);
        assert_eq!(words, ["Of 2 objects, all models find 1.", "Most are found by b: 2."]);
    }

    #[test]
    fn nothing_is_said_before_all_have_looked() {
        let mut waiting = comparison(&[&[0.0], &[0.0]]);
        waiting.predictions[1] = None;
        assert!(found(&waiting, &["a".into(), "b".into()]).is_empty());
    }
}
