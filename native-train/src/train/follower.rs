//! A process that computes shares of another's training (see [`Ranks`]).

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use shared_model::ParameterLayout;

use super::ranks::{Order, Ranks};
use super::settings::Settings;
use super::start::{self, MakeEngine};

/// Computes until the first process says that it is over. What goes wrong here, that one is told, and says.
///
/// # Errors
/// Fails where the first process is not understood.
pub fn follow(
    ranks: &Ranks,
    make_engine: &MakeEngine,
    use_threads: impl FnOnce(&Settings) -> Result<()>,
) -> Result<()> {
    let Order::Prepare(mut progress) = ranks.await_order()? else { return Ok(()) };
    let device = &mut progress.settings.device;
    *device = device.of_process(ranks.index_on_machine());
    let mut parameters = vec![0.0; ParameterLayout::new(&progress.graph()?).len];
    let mut learner = use_threads(&progress.settings).and_then(|()| start::learner(&progress, make_engine));
    let shared_schedule = Arc::new(Mutex::new(progress.schedule));
    let mut loading = None;

    while let Order::Step { iteration, schedule, loaders, parts } = ranks.await_order()? {
        (progress.iteration, progress.schedule) = (iteration, schedule);
        *shared_schedule.lock().unwrap_or_else(PoisonError::into_inner) = schedule;
        ranks.share_parameters(&mut parameters);
        let mut update = vec![0.0; parameters.len()];
        let own = match &mut learner {
            Ok(learner) => {
                let (begun, mut loader) = match loading.take() {
                    Some((begun, loader)) if begun == loaders => (begun, loader),
                    _ => (loaders, learner.start_loader(&progress, &shared_schedule, ranks)),
                };
                let loaded = learner.engine.load(&parameters);
                let own = loaded.and_then(|()| Ok(learner.share(&progress, ranks, &mut loader, &mut update)?));
                loading = Some((begun, loader));
                own
            }
            Err(error) => Err(anyhow!("{error:#}")),
        };
        ranks.collect(&mut update, own.as_ref(), parts)?;
    }
    Ok(())
}
