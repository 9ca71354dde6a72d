//! A campaign as a job array of Slurm (<https://slurm.schedmd.com/sbatch.html>): a run for each of its tasks.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::plan::PlannedRun;
use super::{CampaignFolder, FINISHED};

/// What a job gets beyond the time that its training may take: to start, and to be put into the queue again.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// The batch script of `runs`, each of which trains for `time` and queues itself again until it is finished. Partition, GPUs and cores are
/// for the command line of `sbatch`, which the script is given to.
///
/// # Errors
/// Fails where a path is no text.
pub fn script(
    program: &Path,
    plan: &Path,
    folder: &CampaignFolder,
    runs: &[PlannedRun],
    time: Duration,
) -> Result<String> {
    let absolute = |path: &Path| -> Result<String> {
        let path = std::path::absolute(path).with_context(|| format!("{} has no place", path.display()))?;
        Ok(quoted(path.to_str().with_context(|| format!("{} is no text", path.display()))?))
    };
    let logs = folder.runs().join("slurm-%a.log");
    let name = plan.file_stem().and_then(|name| name.to_str()).context("the plan has no name")?;
    let minutes = (time + MARGIN).as_secs().div_ceil(60);
    let names: Vec<_> = runs.iter().map(|run| quoted(&run.name)).collect();
    let mut text = String::from("#!/bin/bash\n");
    for option in [
        format!("--job-name={}", quoted(name)),
        format!("--array=0-{}", runs.len() - 1),
        format!("--time={minutes}"),
        format!("--output={}", absolute(&logs)?),
        "--open-mode=append".into(),
        "--requeue".into(),
    ] {
        writeln!(text, "#SBATCH {option}")?;
    }
    let (program, plan, runs_folder) = (absolute(program)?, absolute(plan)?, absolute(&folder.runs())?);
    let (folder, seconds) = (absolute(folder.path())?, time.as_secs());
    write!(
        text,
        "runs=({})\nrun=${{runs[$SLURM_ARRAY_TASK_ID]}}\n\
         {program} campaign {plan} --out {folder} --only \"$run\" --for {seconds}s || exit\n\
         # What is not through goes on when its turn comes again.\n\
         test -e {runs_folder}/\"$run\"/{FINISHED} || scontrol requeue \"$SLURM_JOB_ID\"\n",
        names.join(" ")
    )?;
    Ok(text)
}

/// As a word of the shell's.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.into()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_shell_are_quoted() {
        assert_eq!(quoted("/a/b-c_1.toml"), "/a/b-c_1.toml");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }
}
