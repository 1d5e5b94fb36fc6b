//! Checkpoints: directories one can resume from, and load as a model anywhere.
//!
//! ```text
//! checkpoints/step-000500/   config.json model.safetensors tokenizer.json …   a Hugging Face model directory
//!   trainer/state.safetensors   float32 master weights, both AdamW moments, losses of the last steps, generator state
//!   trainer/window.json         losses since the last logged line, where there are any
//!   trainer/state.json          step, cursor, lineage, threads, precision, digest of every file: written last
//! ```
//!
//! `checkpoints/best.json` names the one with the lowest validation loss, which is kept.
//!
//! A checkpoint is staged under a temporary name, synced, and renamed, so a kill leaves the old state or the new one.
//! On resume every file is checked against its digest; a damaged checkpoint is passed over for the one before it, and moved to
//! `checkpoints/damaged/`, so that it is never counted among those to keep. A training that starts again moves the checkpoints of the
//! one before to `checkpoints/earlier/` with its first save; they go once it has finished.

mod writer;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use handoff::{Digest, StageDir, atomic};
use serde::{Deserialize, Serialize};

use crate::lineage::Lineage;
use crate::{Error, Result};

pub use writer::{Write, Writer};

/// Version of `trainer/state.json`; another one is not resumed from.
pub const FORMAT_VERSION: u32 = 2;

/// Folder beside the checkpoints for those of a training that was started again.
const EARLIER: &str = "earlier";

/// Folder beside the checkpoints for those that cannot be read.
const DAMAGED: &str = "damaged";

/// Folder of a checkpoint that holds what a model directory does not need.
const TRAINER: &str = "trainer";

/// The optimizer state within a checkpoint.
pub(crate) const TENSORS: &str = "trainer/state.safetensors";

/// `trainer/state.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// Counts starts from scratch in this directory; the highest one is the run that goes on.
    pub generation: u64,
    /// Optimizer steps done.
    pub step: u64,
    /// Training rows consumed by these steps.
    pub rows_seen: u64,
    /// What the weights come from.
    pub lineage: Lineage,
    /// Compute type: `bf16` or `fp32`.
    pub precision: String,
    /// Device the steps ran on.
    pub device: String,
    /// Threads within one operation; bits are the same only for the same number.
    pub threads: usize,
    /// Rows of a forward pass; bits are the same only for the same number.
    pub micro_rows: u64,
    /// Digest of every other file of the checkpoint, by path relative to it.
    pub files: BTreeMap<String, Digest>,
}

/// `trainer/window.json`: the losses since the last logged line, so that the next one is the same mean after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// Their sum.
    pub sum: f64,
    /// Their number.
    pub steps: f64,
}

impl Losses {
    /// Writes them into the directory of a checkpoint.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        Ok(atomic::write_json(&window_path(dir), self)?)
    }
}

/// A checkpoint on disk whose files match their digests.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Its directory.
    pub path: PathBuf,
    /// Its state.
    pub state: State,
}

impl Checkpoint {
    /// Path of the optimizer state.
    pub fn tensors(&self) -> PathBuf {
        tensors_path(&self.path)
    }
}

/// Where the optimizer state of the checkpoint in `dir` lies.
pub fn tensors_path(dir: &Path) -> PathBuf {
    dir.join(TENSORS)
}

fn window_path(dir: &Path) -> PathBuf {
    dir.join(TRAINER).join("window.json")
}

fn state_path(dir: &Path) -> PathBuf {
    dir.join(TRAINER).join("state.json")
}

/// Which checkpoints are kept besides the best one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// So many of the last.
    pub last: usize,
    /// Those whose step is a multiple of this.
    pub every: Option<u64>,
}

/// `checkpoints/best.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Generation of the checkpoint.
    pub generation: u64,
    /// Its step.
    pub step: u64,
    /// What it is the best in.
    pub metric: String,
    /// The value.
    pub value: f64,
    /// What it was scored on ([`crate::trainer::Task::held_out`]): other scores on other rows say nothing about it. `None` where a
    /// version before this one was written.
    #[serde(default)]
    pub held_out: Option<Digest>,
}

impl Best {
    /// Whether it stays the best one with `candidate` there too.
    fn stands_before(&self, candidate: &Self) -> bool {
        self.held_out == candidate.held_out && self.step <= candidate.step && self.value <= candidate.value
    }
}

/// The checkpoints of one stage directory.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    stage_dir: StageDir,
    keep: Keep,
}

/// What [`Checkpoints::newest`] found.
#[derive(Debug, Default)]
pub struct Found {
    /// The newest checkpoint that is whole.
    pub checkpoint: Option<Checkpoint>,
    /// Newer ones that were passed over, with the reason.
    pub damaged: Vec<(PathBuf, String)>,
    /// The highest generation of all that say theirs, damaged or not.
    pub generation: u64,
}

impl Checkpoints {
    /// Checkpoints under `stage_dir`, of which some are kept.
    pub fn new(stage_dir: StageDir, keep: Keep) -> Self {
        Self { stage_dir, keep }
    }

    /// The whole checkpoint in `path`.
    ///
    /// # Errors
    /// [`Error::Branch`] when there is none, or it is damaged.
    pub fn open(path: &Path) -> Result<Checkpoint> {
        let state = read_state(path).and_then(|state| verify(path, &state).map(|()| state));
        let state = state.map_err(|problem| Error::Branch { path: path.to_path_buf(), problem })?;
        Ok(Checkpoint { path: path.to_path_buf(), state })
    }

    fn best_path(&self) -> PathBuf {
        self.stage_dir.checkpoints().join("best.json")
    }

    /// The best checkpoint of a generation so far.
    pub fn best(&self, generation: u64) -> Option<Best> {
        let best: Best = serde_json::from_slice(&fs::read(self.best_path()).ok()?).ok()?;
        (best.generation == generation).then_some(best)
    }

    /// Marks a checkpoint as the best one, unless one of its generation, not later than it, is better. After a crash the
    /// steps behind the last checkpoint are done again, so a later mark is from the same weights or does not count. The best one
    /// so far is then no longer kept for that. A score on other rows is not compared: the best begins anew. What is not finite is
    /// never the best.
    ///
    /// # Errors
    /// When the mark cannot be written, or a checkpoint cannot be removed.
    pub fn mark_if_best(&self, candidate: &Best) -> Result<()> {
        if !candidate.value.is_finite() {
            return Ok(());
        }
        let best = self.best(candidate.generation);
        if let Some(other) = best.as_ref().filter(|best| best.held_out != candidate.held_out) {
            tracing::warn!(
                "the validation rows have changed: {} {:.4} of step {} is not compared, the best checkpoint begins anew at step {}",
                other.metric,
                other.value,
                other.step,
                candidate.step
            );
        }
        if !best.is_some_and(|best| best.stands_before(candidate)) {
            atomic::write_json(&self.best_path(), candidate)?;
            self.prune(candidate.generation)?;
        }
        Ok(())
    }

    /// Removes what a killed process left half-written.
    ///
    /// # Errors
    /// When a leftover cannot be removed.
    pub fn clean(&self) -> Result<()> {
        atomic::remove_leftovers(&self.stage_dir.checkpoints())?;
        Ok(())
    }

    /// The newest whole checkpoint: highest generation, then highest step.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn newest(&self) -> Result<Found> {
        self.newest_where(|_| true)
    }

    /// As [`Checkpoints::newest`], of those that are `wanted`.
    ///
    /// # Errors
    /// As [`Checkpoints::newest`].
    pub fn newest_where(&self, wanted: impl Fn(&State) -> bool) -> Result<Found> {
        let mut found = Found::default();
        let mut candidates = Vec::new();
        for path in self.directories()? {
            match read_state(&path) {
                Ok(state) => {
                    found.generation = found.generation.max(state.generation);
                    candidates.push((state.generation, state.step, path, state));
                }
                Err(reason) => found.damaged.push((path, reason)),
            }
        }
        candidates.retain(|(.., state)| wanted(state));
        candidates.sort_by_key(|(generation, step, ..)| std::cmp::Reverse((*generation, *step)));
        for (.., path, state) in candidates {
            match verify(&path, &state) {
                Ok(()) => {
                    found.checkpoint = Some(Checkpoint { path, state });
                    break;
                }
                Err(reason) => found.damaged.push((path, reason)),
            }
        }
        Ok(found)
    }

    /// What the newest checkpoint says of itself, without a look at its other files.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn newest_state(&self) -> Result<Option<State>> {
        let states = self.directories()?.into_iter().filter_map(|path| read_state(&path).ok());
        Ok(states.max_by_key(|state| (state.generation, state.step)))
    }

    /// Makes the checkpoints up to that of `start` its own training's no longer but those of generation `generation` with `lineage`, which
    /// would have come by them too: they are kept and gone on from as such, and so is the best one if it is among them.
    ///
    /// # Errors
    /// When a state or the mark cannot be written.
    pub fn adopt(&self, start: &State, generation: u64, lineage: &Lineage) -> Result<()> {
        let mut own = Vec::new();
        for path in self.directories()? {
            match read_state(&path) {
                Ok(state) if (state.generation, &state.lineage) == (start.generation, &start.lineage) && state.step <= start.step => {
                    own.push((state.step, path, state));
                }
                _ => {}
            }
        }
        // The newest first: it is what is gone on from if this is cut short.
        own.sort_by_key(|(step, ..)| std::cmp::Reverse(*step));
        for (_, path, state) in own {
            atomic::write_json(&state_path(&path), &State { generation, lineage: lineage.clone(), ..state })?;
        }
        match self.best(start.generation).filter(|best| best.step <= start.step) {
            Some(best) => Ok(atomic::write_json(&self.best_path(), &Best { generation, ..best })?),
            None => Ok(()),
        }
    }

    /// Moves damaged checkpoints out of the way, into a folder of their own.
    ///
    /// # Errors
    /// When a directory cannot be moved.
    pub fn set_damaged_aside(&self, damaged: &[(PathBuf, String)]) -> Result<()> {
        damaged.iter().filter(|(path, _)| path.exists()).try_for_each(|(path, _)| self.set_aside(path, DAMAGED))
    }

    fn set_aside(&self, path: &Path, folder: &str) -> Result<()> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let generation = read_state(path).map_or(String::new(), |state| format!("-of-{}", state.generation));
        let folder = self.stage_dir.checkpoints().join(folder);
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let mut names = std::iter::once(format!("{name}{generation}")).chain((2..).map(|n| format!("{name}{generation}-{n}")));
        let free = names.find_map(|name| Some(folder.join(name)).filter(|target| !target.exists()));
        free.map_or(Ok(()), |target| Ok(atomic::rename(path, &target)?))
    }

    /// Removes checkpoints of trainings that the one of today has replaced.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn forget_earlier(&self) -> Result<()> {
        let earlier = self.stage_dir.checkpoints().join(EARLIER);
        if earlier.exists() { remove(&earlier) } else { Ok(()) }
    }

    /// Writes a checkpoint: `write` fills the staged directory, then digests are taken and `state` is written; older ones are pruned,
    /// unless `keep_all`.
    ///
    /// # Errors
    /// When anything cannot be written; earlier checkpoints are then untouched.
    pub fn save(&self, mut state: State, keep_all: bool, write: impl FnOnce(&Path) -> Result<()>) -> Result<Checkpoint> {
        let path = self.stage_dir.checkpoint(state.step);
        let staged = atomic::temporary_beside(&path);
        let trainer = staged.join(TRAINER);
        fs::create_dir_all(&trainer).map_err(Error::io("create", &trainer))?;
        let written = write(&staged).and_then(|()| {
            state.files.clear();
            for file in files_below(&staged)? {
                let relative = file.strip_prefix(&staged).unwrap_or(&file);
                let name = relative.iter().map(|p| p.to_string_lossy()).collect::<Vec<_>>().join("/");
                state.files.insert(name, Digest::of_file(&file)?);
            }
            atomic::write_json(&state_path(&staged), &state)?;
            match path.exists().then(|| read_state(&path)) {
                Some(Ok(old)) if old.generation < state.generation => self.set_aside(&path, EARLIER)?,
                Some(Err(_)) => self.set_aside(&path, DAMAGED)?,
                _ => {}
            }
            atomic::commit_dir(&staged, &path)?;
            Ok(())
        });
        if let Err(error) = written {
            let _ = fs::remove_dir_all(&staged);
            return Err(error);
        }
        if keep_all {
            return Ok(Checkpoint { path, state });
        }
        if let Err(error) = self.prune(state.generation) {
            // The new checkpoint is safe; an old one that stays only costs space.
            tracing::warn!(%error, "an older checkpoint could not be removed");
        }
        Ok(Checkpoint { path, state })
    }

    /// Keeps those of this generation that [`Keep`] names, and the best; sets earlier generations aside, which the new one replaces.
    fn prune(&self, generation: u64) -> Result<()> {
        let mut own: Vec<(u64, PathBuf)> = Vec::new();
        for path in self.directories()? {
            match read_state(&path) {
                Ok(state) if state.generation == generation => own.push((state.step, path)),
                Ok(state) if state.generation < generation => self.set_aside(&path, EARLIER)?,
                _ => {}
            }
        }
        own.sort();
        own.truncate(own.len().saturating_sub(self.keep.last));
        let best = self.best(generation).map(|best| best.step);
        let is_kept = |step: u64| self.keep.every.is_some_and(|every| step.is_multiple_of(every)) || best == Some(step);
        own.into_iter().filter(|(step, _)| !is_kept(*step)).try_for_each(|(_, path)| remove(&path))
    }

    fn directories(&self) -> Result<Vec<PathBuf>> {
        let dir = self.stage_dir.checkpoints();
        if !dir.exists() {
            return Ok(Vec::new());
        }
        let mut out = Vec::new();
        for entry in fs::read_dir(&dir).map_err(Error::io("list", &dir))? {
            let path = entry.map_err(Error::io("list", &dir))?.path();
            if step_in_name(&path).is_some() && path.is_dir() {
                out.push(path);
            }
        }
        out.sort();
        Ok(out)
    }
}

/// The step that a directory with the name of a checkpoint is of. A copy with something behind the number has another name.
pub fn step_in_name(path: &Path) -> Option<u64> {
    let step = path.file_name()?.to_str()?.strip_prefix("step-")?;
    if step.bytes().all(|byte| byte.is_ascii_digit()) { step.parse().ok() } else { None }
}

fn remove(path: &Path) -> Result<()> {
    // Renamed first, so that a kill leaves a leftover to clean and not half a checkpoint.
    let aside = atomic::temporary_beside(path);
    atomic::rename(path, &aside)?;
    fs::remove_dir_all(&aside).map_err(Error::io("remove", &aside))
}

fn read_state(dir: &Path) -> std::result::Result<State, String> {
    let bytes = fs::read(state_path(dir)).map_err(|e| format!("trainer/state.json: {e}"))?;
    let state: State = serde_json::from_slice(&bytes).map_err(|e| format!("trainer/state.json: {e}"))?;
    if state.format_version != FORMAT_VERSION {
        return Err(format!("format version {}, this build reads {FORMAT_VERSION}", state.format_version));
    }
    Ok(state)
}

fn verify(dir: &Path, state: &State) -> std::result::Result<(), String> {
    for (name, expected) in &state.files {
        let got = Digest::of_file(&dir.join(name)).map_err(|_| format!("`{name}` cannot be read"))?;
        if got != *expected {
            return Err(format!("`{name}` does not match its digest"));
        }
    }
    Ok(())
}

fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let path = entry.map_err(Error::io("list", dir))?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchPlan, Horizon};
    use handoff::RunDir;

    pub(super) fn state(generation: u64, step: u64) -> State {
        let plan = BatchPlan::new(1, None, 1).unwrap();
        State {
            format_version: FORMAT_VERSION,
            generation,
            step,
            rows_seen: step,
            lineage: Lineage::fresh(serde_json::json!({}), Vec::new(), 0, Horizon::Steps(9), &plan),
            precision: "fp32".into(),
            device: "cpu".into(),
            threads: 1,
            micro_rows: 1,
            files: BTreeMap::new(),
        }
    }

    fn save(checkpoints: &Checkpoints, generation: u64, step: u64) -> PathBuf {
        let write = |dir: &Path| {
            fs::write(dir.join("config.json"), format!("{generation} {step}")).unwrap();
            fs::write(tensors_path(dir), [1, 2, 3]).unwrap();
            Ok(())
        };
        checkpoints.save(state(generation, step), false, write).unwrap().path
    }

    pub(super) fn scored(generation: u64, step: u64, value: f64, rows: &[u8]) -> Best {
        Best { generation, step, metric: "validation/loss".into(), value, held_out: Some(Digest::of_bytes(rows)) }
    }

    pub(super) fn steps(checkpoints: &Checkpoints) -> Vec<u64> {
        checkpoints.directories().unwrap().iter().map(|p| read_state(p).unwrap().step).collect()
    }

    #[test]
    fn the_newest_whole_one_is_found_and_damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(RunDir::new(dir.path()).stage("pretrain"), Keep { last: 3, every: None });
        assert!(checkpoints.newest().unwrap().checkpoint.is_none());
        let paths: Vec<PathBuf> = [5, 10, 15].map(|s| save(&checkpoints, 1, s)).to_vec();
        assert_eq!(checkpoints.newest().unwrap().checkpoint.unwrap().state.step, 15);
        fs::write(tensors_path(&paths[2]), [1, 2, 4]).unwrap();
        let found = checkpoints.newest().unwrap();
        assert_eq!(found.checkpoint.unwrap().state.step, 10);
        assert!(found.damaged[0].1.contains("trainer/state.safetensors"), "{:?}", found.damaged);
        fs::write(state_path(&paths[1]), "{").unwrap();
        fs::remove_file(tensors_path(&paths[0])).unwrap();
        let found = checkpoints.newest().unwrap();
        assert!(found.checkpoint.is_none());
        assert_eq!(found.damaged.len(), 3);
    }

    #[test]
    fn the_best_and_every_so_many_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(RunDir::new(dir.path()).stage("pretrain"), Keep { last: 2, every: Some(20) });
        let mark = |generation, step, value| {
            checkpoints.mark_if_best(&scored(generation, step, value, b"a")).unwrap();
            checkpoints.best(generation).unwrap().step
        };
        for (step, value, best) in [(5, 3.0, 5), (10, 2.0, 10), (15, 2.5, 10), (20, 2.1, 10), (25, 2.2, 10), (30, 2.3, 10), (35, 2.4, 10)] {
            save(&checkpoints, 1, step);
            assert_eq!(mark(1, step, value), best);
        }
        assert_eq!(steps(&checkpoints), [10, 20, 30, 35]);
        assert_eq!(mark(1, 8, 2.2), 8, "going on from an earlier step, what came later does not count");
        save(&checkpoints, 2, 5);
        assert_eq!(checkpoints.best(2), None);
        assert_eq!(mark(2, 5, 9.0), 5);
        assert_eq!(steps(&checkpoints), [5]);
    }

    #[test]
    fn scores_on_other_rows_are_not_compared() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(RunDir::new(dir.path()).stage("pretrain"), Keep { last: 1, every: None });
        let mark = |candidate: &Best| {
            checkpoints.mark_if_best(candidate).unwrap();
            checkpoints.best(1).unwrap().step
        };
        for (step, value, rows, best) in
            [(5, 2.0, b"a", 5), (10, 2.5, b"a", 5), (15, 3.0, b"b", 15), (20, 3.5, b"b", 15), (25, 2.9, b"b", 25)]
        {
            save(&checkpoints, 1, step);
            assert_eq!(mark(&scored(1, step, value, rows)), best, "step {step}");
        }
        assert_eq!(steps(&checkpoints), [25], "what was best on the rows of before is not kept for it");
        // A mark that does not say what it was scored on, as before there was that.
        let mut old = serde_json::to_value(scored(1, 25, 0.1, b"b")).unwrap();
        old.as_object_mut().unwrap().remove("held_out").unwrap();
        fs::write(checkpoints.best_path(), old.to_string()).unwrap();
        assert_eq!(checkpoints.best(1).unwrap().held_out, None);
        save(&checkpoints, 1, 30);
        assert_eq!(mark(&scored(1, 30, 2.0, b"b")), 30);
    }

    #[test]
    fn older_ones_go_and_a_new_generation_replaces_the_old_only_when_it_is_safe() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(RunDir::new(dir.path()).stage("pretrain"), Keep { last: 2, every: None });
        for step in [5, 10, 15] {
            save(&checkpoints, 1, step);
        }
        assert_eq!(steps(&checkpoints), [10, 15]);
        let failed = checkpoints.save(state(2, 5), false, |_| Err(Error::Interrupted { step: 5 }));
        assert!(failed.is_err());
        assert_eq!(steps(&checkpoints), [10, 15], "a failed save leaves the older checkpoints");
        save(&checkpoints, 2, 10);
        assert_eq!(steps(&checkpoints), [10]);
        assert_eq!(checkpoints.newest().unwrap().checkpoint.unwrap().state.generation, 2);
        let folder = dir.path().join("pretrain/checkpoints");
        let earlier = |generation, step| Checkpoints::open(&folder.join(format!("earlier/step-{step:06}-of-{generation}"))).is_ok();
        assert!(earlier(1, 10) && earlier(1, 15), "what was replaced is kept until the new training has finished");
        save(&checkpoints, 3, 10);
        assert!(earlier(1, 10) && earlier(1, 15) && earlier(2, 10));
        checkpoints.forget_earlier().unwrap();
        let names: Vec<_> = fs::read_dir(&folder).unwrap().collect();
        assert_eq!(names.len(), 1, "no leftovers: {names:?}");
    }

    #[test]
    fn damaged_ones_do_not_count_among_those_to_keep() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(RunDir::new(dir.path()).stage("pretrain"), Keep { last: 2, every: None });
        let paths = [10, 20].map(|step| save(&checkpoints, 1, step));
        fs::write(tensors_path(&paths[1]), [1, 2, 4]).unwrap();
        let found = checkpoints.newest().unwrap();
        assert_eq!((found.damaged.len(), found.generation), (1, 1));
        checkpoints.set_damaged_aside(&found.damaged).unwrap();
        save(&checkpoints, 1, 15);
        assert_eq!(steps(&checkpoints), [10, 15]);
        assert!(dir.path().join("pretrain/checkpoints/damaged/step-000020-of-1").is_dir(), "it is not thrown away");
        // One that became unreadable meanwhile gives way to the one of its step.
        fs::write(state_path(&paths[0]), "{").unwrap();
        save(&checkpoints, 1, 10);
        assert_eq!(steps(&checkpoints), [10, 15]);
        assert!(dir.path().join("pretrain/checkpoints/damaged/step-000010").is_dir());
    }

    #[test]
    fn what_is_not_finite_is_never_the_best() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(RunDir::new(dir.path()).stage("pretrain"), Keep { last: 1, every: None });
        for (step, value) in [(1, f64::NAN), (2, 3.0), (3, f64::NAN), (4, f64::NEG_INFINITY)] {
            save(&checkpoints, 1, step);
            checkpoints.mark_if_best(&scored(1, step, value, b"a")).unwrap();
        }
        assert_eq!(checkpoints.best(1).map(|best| best.step), Some(2));
        assert_eq!(steps(&checkpoints), [2, 4]);
    }

    #[test]
    fn a_copy_that_somebody_made_is_no_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(RunDir::new(dir.path()).stage("pretrain"), Keep { last: 2, every: None });
        let first = save(&checkpoints, 1, 20);
        let copies = ["step-000020-backup", "step-", "step-20.old"].map(|name| first.with_file_name(name));
        for copy in &copies {
            fs::create_dir_all(copy.join(TRAINER)).unwrap();
            fs::copy(state_path(&first), state_path(copy)).unwrap();
        }
        for step in [30, 40, 50] {
            save(&checkpoints, 1, step);
        }
        assert_eq!(steps(&checkpoints), [40, 50]);
        assert!(copies.iter().all(|copy| state_path(copy).exists()), "nor is it removed");
    }
}
