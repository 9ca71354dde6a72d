//! A plan: the runs of a campaign, as a TOML file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use shared_model::Variant;

use crate::data::Source;
use crate::train::settings::Settings;

/// Minutes between two checkpoints where the plan says nothing: what a killed machine costs.
const CHECKPOINT_EVERY: f64 = 1.0;

/// A training of a campaign.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRun {
    /// Unique in the plan, and a folder's name: `recipe-variant-s0`.
    pub name: String,
    /// What runs that differ only in their seeds have in common: `recipe-variant`.
    pub group: String,
    /// The network.
    pub variant: String,
    /// Of all chance.
    pub seed: u64,
    /// What `train --config` is given.
    pub settings: toml::Table,
}

/// A campaign.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Its trainings, in the file's order.
    pub runs: Vec<PlannedRun>,
    /// Images that finished runs are scored on for the report.
    pub test: Vec<Source>,
}

/// The file. Besides the keys that are named here, it takes all settings of a training, as in a run's `config.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    /// Settings of all runs.
    #[serde(default)]
    defaults: toml::Table,
    #[serde(default)]
    test: Vec<String>,
    runs: Vec<Recipe>,
}

/// A recipe: as many runs as it has variants times seeds.
#[derive(Deserialize)]
struct Recipe {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    variants: Vec<String>,
    #[serde(default)]
    seeds: Vec<u64>,
    #[serde(flatten)]
    settings: toml::Table,
}

/// Reads a plan.
///
/// # Errors
/// Fails, naming file and run, where the file is no plan, two runs have one name, or `train` would refuse the settings.
pub fn read(path: &Path) -> Result<Plan> {
    let name = || format!("the plan {}", path.display());
    let text = fs::read_to_string(path).with_context(name)?;
    parse(&text).with_context(name)
}

/// Reads a plan's text; errors are those of [`read`].
fn parse(text: &str) -> Result<Plan> {
    let file: PlanFile = toml::from_str(text)?;
    let mut runs = Vec::new();
    for (i, recipe) in file.runs.into_iter().enumerate() {
        let mut common = file.defaults.clone();
        common.extend(recipe.settings);
        common.entry("checkpoint-every").or_insert_with(|| CHECKPOINT_EVERY.into());
        let of_key = |key: &str| common.get(key).cloned();
        let variants = match (recipe.variants, of_key("variant")) {
            (variants, _) if !variants.is_empty() => variants,
            (_, Some(toml::Value::String(variant))) => vec![variant],
            _ => vec!["baseline".into()],
        };
        let seeds = match (recipe.seeds, of_key("seed").and_then(|seed| seed.as_integer())) {
            (seeds, _) if !seeds.is_empty() => seeds,
            (_, Some(seed)) => vec![u64::try_from(seed).context("a seed is a number from 0")?],
            _ => vec![0],
        };
        for variant in &variants {
            Variant::named(variant).with_context(|| format!("[[runs]] number {}", i + 1))?;
            let group = recipe.name.iter().map(String::as_str).chain([variant.as_str()]).collect::<Vec<_>>().join("-");
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            ensure!(
                group.chars().all(is_plain) && !group.starts_with('.'),
                "the name \"{group}\" is to be a folder's: use letters, digits, `.`, `_` and `-`"
            );
            for &seed in &seeds {
                let mut settings = common.clone();
                settings.insert("variant".into(), variant.as_str().into());
                settings.insert("seed".into(), i64::try_from(seed).context("the seed is too large")?.into());
                let name = format!("{group}-s{seed}");
                Settings::from_layers(std::slice::from_ref(&settings)).with_context(|| format!("the run {name}"))?;
                runs.push(PlannedRun { name, group: group.clone(), variant: variant.clone(), seed, settings });
            }
        }
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = runs.iter().find(|run| !names.insert(&run.name)) {
        bail!("two runs are called {}: give their [[runs]] different names (name = \"...\")", twice.name);
    }
    ensure!(!runs.is_empty(), "it has no [[runs]]");
    let test = file.test.iter().map(|source| source.parse::<Source>().map_err(anyhow::Error::msg));
    let test = test.collect::<Result<_>>().context("test")?;
    Ok(Plan { runs, test })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"
        test = ["voc:test"]

        [defaults]
        train = ["voc:train"]
        epochs = 3

        [[runs]]
        variants = ["baseline", "final"]
        seeds = [0, 1]

        [[runs]]
        name = "slow"
        variants = ["final"]
        lr = 0.001
        epochs = 9
    "#;

    #[test]
    fn variants_times_seeds_with_defaults() {
        let Plan { runs, test } = parse(PLAN).unwrap();
        assert_eq!(test, ["voc:test".parse().unwrap()]);
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["baseline-s0", "baseline-s1", "final-s0", "final-s1", "slow-final-s0"]);
        let settings = |i: usize| Settings::from_layers(std::slice::from_ref(&runs[i].settings)).unwrap();
        assert_eq!((settings(1).seed, settings(1).epochs, settings(1).checkpoint_every), (1, 3, 1.0));
        assert_eq!((settings(4).variant.as_str(), settings(4).epochs, settings(4).lr), ("final", 9, Some(0.001)));
        assert_eq!((runs[1].group.as_str(), runs[4].group.as_str()), ("baseline", "slow-final"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |plan: &str| format!("{:#}", parse(plan).unwrap_err());
        assert!(error("runs = []").contains("no [[runs]]"));
        assert!(error("[[runs]]\nvariants = [\"fnal\"]").contains("fnal"));
        let twice = error("[defaults]\ntrain = [\"a:b\"]\n[[runs]]\n[[runs]]\n");
        assert!(twice.contains("two runs are called baseline-s0"), "{twice}");
        let unknown = error("[defaults]\ntrain = [\"a:b\"]\n[[runs]]\nepoch = 3\n");
        assert!(unknown.contains("the run baseline-s0") && unknown.contains("epoch"), "{unknown}");
        assert!(error("[[runs]]\nname = \"a/b\"\ntrain = [\"a:b\"]").contains("folder's"));
    }
}
