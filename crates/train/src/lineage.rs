//! What a training run was made from, and what to do when that is no longer what there is.
//!
//! A lineage is the recipe (every setting that changes the weights), the data batches in ingest order, and the
//! phases in which they were trained on. It is stored in every checkpoint, so that a later run can tell
//! "the same, go on", "the same and more data" and "something else" apart, and name the difference.

use std::fmt;

use handoff::{Digest, DigestBuilder};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::batch::{BatchPlan, Horizon, steps_of_passes};
use crate::order::PhaseRows;
use crate::schedule::Schedule;
use crate::{Error, Result};

/// Keys of a recipe that say how long to train.
const HORIZON_KEYS: [&str; 5] = ["epochs", "minutes", "steps", "tokens", "tokens_per_parameter"];

/// What a stage does when batches were added since it last trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnNewData {
    /// Go on from the last weights and optimizer state, with a phase on the new rows (and some earlier ones).
    Continue,
    /// Train from the start on everything.
    Restart,
    /// Stop and say what is new.
    Refuse,
}

/// A batch of training data: what one run of the stage before added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataBatch {
    /// Digest of the batch's shards in order.
    pub digest: Digest,
    /// Training rows in it.
    pub rows: u64,
}

impl DataBatch {
    /// A batch from the digests of its shards, in order, and their rows together.
    pub fn new<'a>(shards: impl IntoIterator<Item = &'a Digest>, rows: u64) -> Self {
        let builder = shards.into_iter().fold(DigestBuilder::new(), |b, d| b.field("shard", d.as_bytes()));
        Self { digest: builder.finish(), rows }
    }
}

/// A stretch of steps over some batches.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// First batch of this phase; the batches before it are earlier data.
    pub first_batch: usize,
    /// One past its last batch.
    pub end_batch: usize,
    /// Its first optimizer step.
    pub first_step: u64,
    /// Its number of optimizer steps.
    pub steps: u64,
    /// Earlier rows mixed in for each new one.
    pub replay: f64,
    /// Place in the phase's endless stream of rows where it begins: 0, unless it goes on with the rows of the phase before.
    pub first_position: u64,
    /// Whether the learning rate only falls, from its peak to its floor as `1 - √t`, over the steps of this phase.
    pub cooldown: bool,
}

/// Recipe, data and phases of a training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lineage {
    /// Every setting and input digest that changes the weights, by key.
    pub recipe: Value,
    /// The data in ingest order.
    pub batches: Vec<DataBatch>,
    /// What is trained on in which steps.
    pub phases: Vec<Phase>,
    /// Seed of the order of rows and of initial weights; a part of the recipe too.
    pub seed: u64,
}

impl Lineage {
    /// A run from the start: one phase over all batches.
    pub fn fresh(recipe: Value, batches: Vec<DataBatch>, seed: u64, horizon: Horizon, plan: &BatchPlan) -> Self {
        let rows = batches.iter().map(|b| b.rows).sum();
        let phase = Phase { first_batch: 0, end_batch: batches.len(), first_step: 0, steps: horizon.steps(rows, plan), ..Phase::default() };
        Self { recipe, batches, phases: vec![phase], seed }
    }

    /// The same run with one more phase over the batches that are not in it yet.
    ///
    /// The new phase makes as many passes over its rows as the horizon makes over the rows of the first phase;
    /// each pass also sees `replay` earlier rows for each new one.
    #[must_use]
    pub fn extended(&self, batches: Vec<DataBatch>, horizon: Horizon, plan: &BatchPlan, replay: f64) -> Self {
        let first_rows: u64 = self.phases.first().map_or(0, |p| rows_of(&self.batches[p.first_batch..p.end_batch]));
        let earlier = rows_of(&self.batches);
        let new = rows_of(&batches[self.batches.len()..]);
        let replayed = ((replay * new as f64).round() as u64).min(earlier);
        let measured = self.phases.first().map_or(0, |p| p.steps * plan.rows_per_step);
        let passes = match horizon {
            Horizon::Minutes(_) => measured as f64 / first_rows.max(1) as f64,
            _ if first_rows == 0 => horizon.passes(new, plan),
            _ => horizon.passes(first_rows, plan),
        };
        let mut phases = self.phases.clone();
        phases.push(Phase {
            first_batch: self.batches.len(),
            end_batch: batches.len(),
            first_step: self.total_steps(),
            steps: if new == 0 { 0 } else { steps_of_passes(passes, new + replayed, plan) },
            replay,
            ..Phase::default()
        });
        Self { recipe: self.recipe.clone(), batches, phases, seed: self.seed }
    }

    /// The same run up to `step`, and then a phase of `steps` steps on the rows that would have come next, over which the
    /// learning rate falls: a finished model off a run that goes on (Hägele et al., arXiv 2405.18392).
    #[must_use]
    pub fn cooled_down(&self, step: u64, steps: u64, plan: &BatchPlan) -> Self {
        let mut phases = self.until(step).phases;
        if let Some(last) = phases.last() {
            let first_position = last.first_position + last.steps * plan.rows_per_step;
            let next = Phase { first_step: step, steps, first_position, cooldown: true, ..last.clone() };
            phases.push(next);
        }
        Self { phases, ..self.clone() }
    }

    /// What the weights at `step` come from, however long the run is meant to be.
    #[must_use]
    pub fn until(&self, step: u64) -> Self {
        let mut phases = self.phases[..=self.phase_of(step.saturating_sub(1))].to_vec();
        if let Some(last) = phases.last_mut() {
            last.steps = step - last.first_step;
        }
        Self { recipe: without_horizon(&self.recipe), phases, ..self.clone() }
    }

    /// The same run with another horizon, if that is all that `recipe` changes and the run has one phase.
    pub fn with_horizon(&self, recipe: &Value, batches: &[DataBatch], steps: u64) -> Option<Self> {
        let [phase] = self.phases.as_slice() else { return None };
        let same = without_horizon(&self.recipe) == without_horizon(recipe);
        if self.recipe == *recipe || !same || self.batches != batches || phase.cooldown || steps == 0 {
            return None;
        }
        Some(Self { recipe: recipe.clone(), phases: vec![Phase { steps, ..phase.clone() }], ..self.clone() })
    }

    /// Whether the first `steps` steps have the same learning rates in both, and more are to come. Rows are the same anyway.
    pub fn agrees_until(&self, other: &Self, steps: u64, schedule: &Schedule) -> bool {
        let rate = |lineage: &Self, step| schedule.at(&lineage.phases[0], step, lineage.phases[0].steps);
        let single = self.phases.len() == 1 && other.phases.len() == 1;
        let more = single && self.phases[0].steps > steps && other.phases[0].steps >= steps;
        more && (0..steps).all(|step| rate(self, step) == rate(other, step))
    }

    /// Steps of all phases.
    pub fn total_steps(&self) -> u64 {
        self.phases.last().map_or(0, |p| p.first_step + p.steps)
    }

    /// Index of the phase that `step` falls in; the last one for steps past the end.
    pub fn phase_of(&self, step: u64) -> usize {
        let within = self.phases.iter().position(|p| step < p.first_step + p.steps);
        within.unwrap_or(self.phases.len().saturating_sub(1))
    }

    /// Rows before a phase's own, and one past its last row, in the concatenation of all batches.
    pub fn row_range(&self, phase: &Phase) -> (u64, u64) {
        (rows_of(&self.batches[..phase.first_batch]), rows_of(&self.batches[..phase.end_batch]))
    }

    /// The rows of a phase and their order.
    pub fn rows_of(&self, phase: &Phase) -> PhaseRows {
        let (first_new, end) = self.row_range(phase);
        let digests: Vec<Digest> = self.batches[..phase.end_batch].iter().map(|b| b.digest).collect();
        PhaseRows::new(first_new, end, phase.replay, &digests, self.seed)
    }

    /// What a user should know before `step`, the first one to do.
    pub fn warnings(&self, rows_per_step: u64, step: u64, schedule: &Schedule) -> impl Iterator<Item = String> + use<> {
        self.repeated_rows(rows_per_step, step).into_iter().chain(self.long_warm_up(schedule))
    }

    /// What is to be said where a phase that is not over at `step` has fewer rows than a step takes.
    fn repeated_rows(&self, rows_per_step: u64, step: u64) -> Option<String> {
        // A phase without steps is one whose minutes are not measured yet.
        let to_come = self.phases.iter().filter(|phase| phase.steps == 0 || phase.first_step + phase.steps > step);
        let rows = to_come.map(|phase| self.rows_of(phase)).filter(|rows| !rows.is_empty()).map(|rows| rows.len()).min()?;
        (rows < rows_per_step).then(|| {
            let times = rows_per_step.div_ceil(rows);
            format!(
                "`batch_rows` is {rows_per_step}, there are {rows} training row(s): a step has each of them up to {times} times; `batch_rows = {rows}` would have each once"
            )
        })
    }

    /// What is to be said where the warm-up does not end before the training does.
    fn long_warm_up(&self, schedule: &Schedule) -> Option<String> {
        let phase = self.phases.first()?;
        let highest = (0..phase.steps).map(|step| schedule.at(phase, step, phase.steps)).fold(0.0, f64::max);
        (phase.steps > 0 && schedule.warmup_steps > phase.steps).then(|| {
            let (warm_up, share) = (schedule.warmup_steps, 100.0 * highest);
            format!(
                "`warmup_steps` is {warm_up}, the training has {}: the learning rate gets no higher than {share:.0} % of `learning_rate`",
                phase.steps
            )
        })
    }

    /// Digest of everything.
    pub fn digest(&self) -> Digest {
        Digest::of_bytes(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }
}

/// A recipe without what says how long to train.
pub fn without_horizon(recipe: &Value) -> Value {
    let mut recipe = recipe.clone();
    if let Some(recipe) = recipe.as_object_mut() {
        recipe.retain(|key, _| !HORIZON_KEYS.contains(&key.as_str()));
    }
    recipe
}

fn rows_of(batches: &[DataBatch]) -> u64 {
    batches.iter().map(|b| b.rows).sum()
}

/// What to do, given what was trained and what there is now.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Nothing usable was trained before.
    Start,
    /// Recipe and data are the same: go on, or be done.
    Resume,
    /// Data was appended, and it may be trained on next.
    Continue {
        /// Batches added.
        new_batches: usize,
        /// Rows added.
        new_rows: u64,
    },
    /// Only the horizon changed, and there is a checkpoint that a training with the new one would have come by too.
    Horizon {
        /// Steps before.
        from: u64,
        /// Steps now.
        to: u64,
    },
    /// Start again, because something else changed.
    Restart {
        /// What changed, for people.
        why: String,
    },
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => write!(f, "training starts"),
            Self::Resume => write!(f, "same recipe and data as before"),
            Self::Continue { new_batches, new_rows } => {
                write!(
                    f,
                    "on_new_data = continue: {new_batches} new batch(es) with {new_rows} rows; earlier weights and optimizer state are kept"
                )
            }
            Self::Horizon { from, to } => {
                write!(f, "{to} steps instead of {from}: the training goes on where the learning rate is the same in both")
            }
            Self::Restart { why } => write!(f, "training starts again: {why}"),
        }
    }
}

/// Compares what was trained with what there is.
///
/// Appended batches follow `policy`. A changed recipe restarts; changed or vanished earlier batches restart too,
/// since what was learned from them no longer stands for the data. All of that unless the policy is to refuse.
///
/// # Errors
/// [`Error::NewData`] and [`Error::NewRecipe`] with a readable difference, where the policy is [`OnNewData::Refuse`].
pub fn decide(recorded: Option<&Lineage>, recipe: &Value, batches: &[DataBatch], policy: OnNewData) -> Result<Decision> {
    let Some(recorded) = recorded else { return Ok(Decision::Start) };
    if recorded.recipe != *recipe {
        let difference = recipe_difference(&recorded.recipe, recipe);
        return match policy {
            OnNewData::Refuse => Err(Error::NewRecipe { difference }),
            _ => Ok(Decision::Restart { why: format!("the recipe changed ({difference})") }),
        };
    }
    if recorded.batches == batches {
        return Ok(Decision::Resume);
    }
    let difference = data_difference(&recorded.batches, batches);
    match policy {
        OnNewData::Refuse => Err(Error::NewData { difference }),
        OnNewData::Continue if batches.starts_with(&recorded.batches) => {
            let new = &batches[recorded.batches.len()..];
            Ok(Decision::Continue { new_batches: new.len(), new_rows: rows_of(new) })
        }
        OnNewData::Continue => Ok(Decision::Restart { why: format!("earlier data changed, not only grown ({difference})") }),
        OnNewData::Restart => Ok(Decision::Restart { why: format!("on_new_data = restart, {difference}") }),
    }
}

/// What changed between two recipes, for people.
pub fn recipe_difference(old: &Value, new: &Value) -> String {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return "another format".to_owned() };
    let mut changes: Vec<String> = new
        .iter()
        .filter(|(key, value)| old.get(*key) != Some(value))
        .map(|(key, value)| format!("`{key}`: {} → {value}", old.get(key).unwrap_or(&Value::Null)))
        .collect();
    changes.extend(old.keys().filter(|key| !new.contains_key(*key)).map(|key| format!("`{key}` is gone")));
    changes.join(", ")
}

/// What changed between two lists of batches, for people.
pub fn data_difference(old: &[DataBatch], new: &[DataBatch]) -> String {
    let name = |b: &DataBatch| format!("{} ({} rows)", &b.digest.to_string()[..8], b.rows);
    let same = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let mut parts = vec![format!("{same} of {} earlier batch(es) unchanged", old.len())];
    let list = |batches: &[DataBatch]| batches.iter().map(name).collect::<Vec<_>>().join(", ");
    if same < old.len() {
        parts.push(format!("changed or gone: {}", list(&old[same..])));
    }
    if same < new.len() {
        parts.push(format!("new: {}", list(&new[same..])));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn batch(name: &str, rows: u64) -> DataBatch {
        DataBatch::new([&Digest::of_bytes(name.as_bytes())], rows)
    }

    fn lineage() -> Lineage {
        let plan = BatchPlan::new(10, None, 4).unwrap();
        Lineage::fresh(json!({"lr": 0.1}), vec![batch("a", 100)], 0, Horizon::Steps(30), &plan)
    }

    #[test]
    fn rows_that_a_step_repeats_are_told() {
        let plan = BatchPlan::new(8, None, 4).unwrap();
        let horizon = Horizon::Epochs(2.0);
        let of = |rows| Lineage::fresh(json!({}), vec![batch("a", rows)], 0, horizon, &plan);
        assert_eq!(of(8).repeated_rows(8, 0), None);
        let told = of(3).repeated_rows(8, 0).unwrap();
        assert!(told.contains("3 training row(s)") && told.contains("up to 3 times"), "{told}");
        assert_eq!(of(3).repeated_rows(8, 1), None, "its one step is done");
        // Two new rows and two earlier ones for them.
        let grown = of(8).extended(vec![batch("a", 8), batch("b", 2)], horizon, &plan, 1.0);
        let told = grown.repeated_rows(8, 0).unwrap();
        assert!(told.contains("4 training row(s)") && told.contains("up to 2 times"), "{told}");
    }

    #[test]
    fn appended_data_follows_the_policy() {
        let (old, recipe) = (lineage(), json!({"lr": 0.1}));
        let grown = [batch("a", 100), batch("b", 7)];
        let with = |policy| decide(Some(&old), &recipe, &grown, policy);
        assert_eq!(with(OnNewData::Continue).unwrap(), Decision::Continue { new_batches: 1, new_rows: 7 });
        assert!(matches!(with(OnNewData::Restart).unwrap(), Decision::Restart { .. }));
        let message = with(OnNewData::Refuse).unwrap_err().to_string();
        assert!(message.contains("1 of 1 earlier batch(es) unchanged") && message.contains("(7 rows)"), "{message}");
        assert_eq!(decide(Some(&old), &recipe, &grown[..1], OnNewData::Refuse).unwrap(), Decision::Resume);
        assert_eq!(decide(None, &recipe, &grown, OnNewData::Refuse).unwrap(), Decision::Start);
    }

    #[test]
    fn changed_recipe_or_earlier_data_restarts_and_says_why() {
        let old = lineage();
        let Decision::Restart { why } = decide(Some(&old), &json!({"lr": 0.2}), &old.batches, OnNewData::Continue).unwrap() else {
            panic!("recipe changed")
        };
        let refused = decide(Some(&old), &json!({"lr": 0.2}), &old.batches, OnNewData::Refuse).unwrap_err().to_string();
        assert!(refused.contains("`lr`: 0.1 → 0.2"), "{refused}");
        assert!(why.contains("`lr`: 0.1 → 0.2"), "{why}");
        let changed = [batch("z", 100), batch("b", 7)];
        let decision = decide(Some(&old), &old.recipe, &changed, OnNewData::Continue).unwrap();
        assert!(matches!(decision, Decision::Restart { .. }), "continuing needs the earlier data unchanged");
        assert!(decide(Some(&old), &old.recipe, &[], OnNewData::Refuse).is_err());
    }

    #[test]
    fn phases_follow_each_other() {
        let plan = BatchPlan::new(10, None, 4).unwrap();
        let grown = vec![batch("a", 100), batch("b", 20), batch("c", 0)];
        // 30 steps of 10 rows were 3 passes over 100 rows: 3 passes over 20 new and 20 earlier rows are 12 steps.
        let next = lineage().extended(grown.clone(), Horizon::Steps(30), &plan, 1.0);
        assert_eq!(next.phases[1], Phase { first_batch: 1, end_batch: 3, first_step: 30, steps: 12, replay: 1.0, ..Phase::default() });
        assert_eq!((next.total_steps(), next.phase_of(29), next.phase_of(30), next.phase_of(99)), (42, 0, 1, 1));
        assert_eq!(next.row_range(&next.phases[1]), (100, 120));
        let mut more = grown;
        more.push(batch("empty", 0));
        let idle = next.extended(more, Horizon::Steps(30), &plan, 1.0);
        assert_eq!((idle.phases[2].steps, idle.total_steps()), (0, 42));
        let cooled = next.cooled_down(36, 5, &plan);
        let last = Phase { first_step: 36, steps: 5, first_position: 60, cooldown: true, ..next.phases[1].clone() };
        assert_eq!((cooled.phases[1].steps, &cooled.phases[2], cooled.total_steps()), (6, &last, 41));
        assert_eq!(next.cooled_down(30, 5, &plan).phases.len(), 2, "right at the end of a phase it is that one which goes on");
        let json = serde_json::to_string(&idle).unwrap();
        assert_eq!(serde_json::from_str::<Lineage>(&json).unwrap(), idle);
    }
}
