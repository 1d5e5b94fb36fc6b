//! The stage: which units are to be done, doing them, and the report over all of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use handoff::manifest::unit_name;
use handoff::plan::why;
use handoff::{Digest, DigestBuilder, DigestCache, Manifest, ShardMeta, UnitEntry, UnitKey, Why, atomic};
use stage::{DryRun, DryUnit, Report, StageContext, StageError};

use crate::ask::Asker;
use crate::config::Config;
use crate::facts::{Facts, Given, ModelFacts, Shown};
use crate::models::{Subject, device};
use crate::results::{self, Answers, CONTINUATIONS, QUESTIONS, ResultRow, VALIDATION};
use crate::rows::{self, LIKELIHOOD};
use crate::tasks::{Task, Tasks};
use crate::validation::Validation;
use crate::{Error, history, report, terminal};

/// Raised when the same model and task give other rows than before.
const FORMAT_VERSION: u32 = 2;

/// What a unit measures.
#[derive(Debug, Clone, Copy)]
enum What<'a> {
    Task(&'a Task),
    Shown,
    Validation,
}

impl What<'_> {
    fn name(&self) -> &str {
        match self {
            What::Task(task) => &task.name,
            What::Shown => QUESTIONS,
            What::Validation => VALIDATION,
        }
    }
}

/// A model on a task.
struct Unit<'a> {
    subject: &'a Subject,
    what: What<'a>,
    name: String,
    key: UnitKey,
}

/// Everything read before anything is done.
struct Inputs {
    subjects: Vec<Subject>,
    tasks: Tasks,
    validation: Option<Validation>,
    watch: Vec<PathBuf>,
}

impl Inputs {
    fn read(ctx: &StageContext, config: &Config) -> Result<Self, Error> {
        let paths: Vec<PathBuf> = config.tasks.iter().map(|t| ctx.path(t)).collect();
        let types = config.answer_types.as_ref().map(|t| ctx.path(t));
        let tasks = Tasks::load(&paths, types.as_deref(), config.max_questions)?;
        let mut cache = DigestCache::open(&ctx.run);
        let subjects = config.models.iter().map(|m| Subject::find(ctx, m, &mut cache)).collect::<Result<Vec<_>, _>>()?;
        cache.save()?;
        let validation = config.validation.as_ref().map(|stage| Validation::read(&ctx.run, stage)).transpose()?;
        let mut watch = paths;
        watch.extend(types);
        watch.extend(subjects.iter().map(|s| s.dir.clone()));
        watch.extend(validation.iter().flat_map(|v| v.paths.iter().cloned()));
        Ok(Self { subjects, tasks, validation, watch })
    }

    /// Units in the order of models, then tasks.
    fn units<'a>(&'a self, config: &Config) -> Vec<Unit<'a>> {
        let settings = DigestBuilder::new()
            .field("max_new_tokens", config.max_new_tokens.to_le_bytes())
            .field("batch_tokens", config.batch_tokens.to_le_bytes())
            .field("document_mask", [u8::from(config.document_mask)])
            .field("dtype", format!("{:?}", config.dtype))
            .finish();
        let mut out = Vec::new();
        for subject in &self.subjects {
            let mut add = |what: What<'a>, digest: Digest| {
                let input_digest = DigestBuilder::new().field("model", subject.digest.as_bytes()).field("task", digest.as_bytes()).finish();
                let name = unit_name(&format!("{}.{}", subject.name, what.name()));
                out.push(Unit {
                    subject,
                    what,
                    name,
                    key: UnitKey { input_digest, config_digest: settings, format_version: FORMAT_VERSION },
                });
            };
            for task in &self.tasks.tasks {
                add(What::Task(task), task.digest);
            }
            if !config.questions.is_empty() {
                let asked = config.questions.iter().fold(DigestBuilder::new(), |d, q| {
                    let d = d.field("question", &q.question).field("plain", q.plain.as_deref().unwrap_or(""));
                    q.answers.iter().fold(d, |d, a| d.field("answer", a))
                });
                add(What::Shown, asked.finish());
            }
            if let Some(validation) = &self.validation {
                add(What::Validation, validation.digest);
            }
        }
        out
    }
}

/// What [`run`] would do.
///
/// # Errors
/// When an input is missing or unreadable.
pub(crate) fn dry_run(ctx: &StageContext, config: &Config) -> Result<DryRun, StageError> {
    let inputs = Inputs::read(ctx, config)?;
    let manifest = Manifest::load(&ctx.stage_dir)?;
    let mut out = DryRun::default();
    for unit in inputs.units(config) {
        match why(&manifest, &unit.name, &unit.key, ctx.force) {
            Some(why) => out.todo.push(DryUnit { unit: unit.name, why: reason(why).to_owned(), bytes: 0 }),
            None => out.skip += 1,
        }
    }
    Ok(out)
}

/// A unit's input is a model and a task; which of them changed is not recorded.
fn reason(why: Why) -> &'static str {
    match why {
        Why::New => "never evaluated",
        Why::InputChanged => "the model or the questions changed",
        Why::ConfigChanged => "the configuration changed",
        Why::VersionChanged => "this build writes another format",
        Why::OutputMissing => "an output is missing",
        Why::Forced => "--force",
    }
}

/// Evaluates what is not evaluated yet, then writes results and report over everything.
///
/// # Errors
/// When an input is missing, a model cannot be run, or the disk refuses.
pub(crate) fn run(ctx: &StageContext, config: &Config) -> Result<Report, StageError> {
    if let Some(threads) = ctx.threads {
        tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    }
    let inputs = Inputs::read(ctx, config)?;
    let mut manifest = Manifest::load(&ctx.stage_dir)?;
    let units = inputs.units(config);
    let mine = units.iter().enumerate().filter(|(i, _)| ctx.worker.owns(*i)).map(|(_, u)| u);
    let mut todo: Vec<&Unit<'_>> = mine.filter(|u| why(&manifest, &u.name, &u.key, ctx.force).is_some()).collect();
    if let Some(limit) = ctx.limit {
        todo.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    let done = todo.len();
    evaluate(ctx, config, &inputs, &units, &todo, &mut manifest)?;
    let stray = prune(ctx, &units, &mut manifest)?;
    let summary = manifest.write_summary()?;
    let mut report = Report {
        inputs_done: done as u64,
        inputs_skipped: (units.len() - done) as u64,
        rows: summary.rows,
        bytes_out: summary.bytes,
        watch: inputs.watch.clone(),
        ..Report::default()
    };
    if !stray.is_empty() {
        report.notes.push(format!(
            "{} evaluated before but no longer asked for, left out of the report (--prune removes them): {}",
            stray.len(),
            stray.join(", ")
        ));
    }
    let missing: Vec<&str> = units.iter().filter(|u| why(&manifest, &u.name, &u.key, false).is_some()).map(|u| u.name.as_str()).collect();
    if !missing.is_empty() {
        report.notes.push(format!(
            "{} of {} are still to be evaluated; run `eval` again without --limit or --worker for results and report",
            missing.len(),
            units.len()
        ));
        return Ok(report);
    }
    let text = conclude(ctx, config, &inputs, &units, &manifest)?;
    report.text = Some(format!("{text}\n"));
    report.look = vec![ctx.stage_dir.report_html().display().to_string(), ctx.stage_dir.results_json().display().to_string()];
    Ok(report)
}

/// Does the units, one model in memory at a time.
fn evaluate(
    ctx: &StageContext,
    config: &Config,
    inputs: &Inputs,
    units: &[Unit<'_>],
    todo: &[&Unit<'_>],
    manifest: &mut Manifest,
) -> Result<(), StageError> {
    if todo.is_empty() {
        return Ok(());
    }
    let bar = ctx.progress.bar("evaluate", todo.len() as u64, "tasks");
    let device = device();
    for subject in &inputs.subjects {
        let of_model: Vec<_> = todo.iter().filter(|u| std::ptr::eq(u.subject, subject)).collect();
        if of_model.is_empty() {
            continue;
        }
        ctx.cancel.check()?;
        let model = subject.load(device, config.dtype)?;
        for unit in of_model {
            ctx.cancel.check()?;
            bar.set_message(unit.name.clone());
            let index = units.iter().position(|u| u.name == unit.name).unwrap_or(0);
            let entry = measure(ctx, config, inputs, &Asker { model: &model, subject, config }, unit, index)?;
            tracing::debug!(unit = entry.unit, secs = entry.wall_secs, "evaluated");
            manifest.commit(entry)?;
            bar.inc(1);
        }
    }
    bar.finish();
    Ok(())
}

/// Evaluates one model on one task and writes its rows.
fn measure(
    ctx: &StageContext,
    config: &Config,
    inputs: &Inputs,
    asker: &Asker<'_>,
    unit: &Unit<'_>,
    index: usize,
) -> Result<UnitEntry, Error> {
    let start = Instant::now();
    let dir = &ctx.stage_dir;
    let extra = [("model_digest".to_owned(), unit.subject.digest.to_string()), ("model".to_owned(), unit.subject.name.clone())];
    let meta = ShardMeta { stage: "eval".into(), config_digest: unit.key.config_digest.to_string(), extra: extra.into() };
    let in_data = dir.absolute(&format!("data/{}.parquet", unit.name));
    let mut counts = BTreeMap::new();
    let output = match unit.what {
        What::Task(task) => {
            let rows = asker.task(task, &inputs.tasks)?;
            counts.insert("questions".to_owned(), rows.len() as u64);
            counts.insert("right".to_owned(), rows.iter().filter(|r| r.correct).count() as u64);
            rows::write(&in_data, dir, &meta, &rows)?
        }
        What::Shown => rows::write(&in_data, dir, &meta, &asker.shown(&config.questions)?)?,
        What::Validation => {
            let samples = match &inputs.validation {
                Some(validation) => validation.score(asker.model, unit.subject, config.batch_tokens, config.document_mask)?,
                None => Vec::new(),
            };
            counts.insert("validation_samples".to_owned(), samples.len() as u64);
            let path = dir.absolute(&format!("{LIKELIHOOD}/{}.parquet", unit.name));
            rows::write_likelihoods(&path, dir, &meta, &unit.subject.name, &samples)?
        }
    };
    Ok(UnitEntry {
        unit: unit.name.clone(),
        batch: 0,
        index: u32::try_from(index).unwrap_or(u32::MAX),
        key: unit.key,
        outputs: vec![output],
        rejected: Vec::new(),
        counts,
        wall_secs: start.elapsed().as_secs_f64(),
    })
}

/// Units that the configuration no longer asks for; removed with `--prune`.
fn prune(ctx: &StageContext, units: &[Unit<'_>], manifest: &mut Manifest) -> Result<Vec<String>, Error> {
    let stray: Vec<String> = manifest.units().keys().filter(|name| !units.iter().any(|u| u.name == **name)).cloned().collect();
    if !ctx.prune {
        return Ok(stray);
    }
    for unit in &stray {
        manifest.remove(unit)?;
    }
    Ok(Vec::new())
}

/// Reads all rows back and writes `results.json` and `report.html`; returns the text for the terminal.
fn conclude(ctx: &StageContext, config: &Config, inputs: &Inputs, units: &[Unit<'_>], manifest: &Manifest) -> Result<String, Error> {
    let names: Vec<String> = config.models.iter().map(|m| m.name.clone()).collect();
    let mut answers = Answers::default();
    let mut likelihoods: Vec<ResultRow> = Vec::new();
    for unit in units {
        let Some(entry) = manifest.units().get(&unit.name) else { continue };
        for output in &entry.outputs {
            let path = ctx.stage_dir.absolute(&output.path);
            match unit.what {
                What::Validation => likelihoods.push(results::score_likelihoods(&unit.subject.name, &rows::read_likelihoods(&path)?)),
                What::Task(task) => answers.insert(&unit.subject.name, &task.name, rows::read(&path)?),
                What::Shown => {
                    let (questions, plain): (Vec<_>, Vec<_>) = rows::read(&path)?.into_iter().partition(|r| r.task == QUESTIONS);
                    answers.insert(&unit.subject.name, QUESTIONS, questions);
                    answers.insert(&unit.subject.name, CONTINUATIONS, plain);
                }
            }
        }
    }
    let baseline = config.baseline.clone().or_else(|| results::best_model(&names, &inputs.tasks, &answers));
    let mut all = results::score_answers(&names, baseline.as_deref(), &inputs.tasks, &answers);
    all.extend(likelihoods);
    atomic::write_json_if_changed(&ctx.stage_dir.results_json(), &all)?;
    let run = ctx.run.path().file_name().map_or_else(|| "run".to_owned(), |n| n.to_string_lossy().into_owned());
    let facts = Facts {
        run,
        models: inputs.subjects.iter().map(|s| model_facts(ctx, s)).collect(),
        baseline,
        results: &all,
        tasks: &inputs.tasks,
        answers: &answers,
        shown: shown(config, &names, &inputs.tasks, &answers),
        training: training(ctx, inputs),
        data: history::data_stages(&ctx.run)?,
        wrong_examples: config.wrong_examples,
    };
    let page = report::render(&facts);
    let path = ctx.stage_dir.report_html();
    if std::fs::read_to_string(&path).ok().as_deref() != Some(page.as_str()) {
        atomic::write(&path, page.as_bytes())?;
    }
    Ok(terminal::render(&facts))
}

fn model_facts(ctx: &StageContext, subject: &Subject) -> ModelFacts {
    let adapter = subject.reference.as_ref().map(|r| ctx.run.reference(r).adapter());
    ModelFacts {
        name: subject.name.clone(),
        from: subject.from.clone(),
        random: subject.random.is_some(),
        params: history::stored_params(&subject.dir),
        adapter_params: adapter.filter(|_| subject.random.is_none()).and_then(|dir| history::stored_params(&dir)),
    }
}

/// Losses of the stages that the models came from, each once.
fn training(ctx: &StageContext, inputs: &Inputs) -> Vec<crate::facts::Training> {
    let mut references: Vec<&str> = Vec::new();
    for reference in inputs.subjects.iter().filter_map(|s| s.reference.as_deref()) {
        if !references.contains(&reference) {
            references.push(reference);
        }
    }
    references.into_iter().filter_map(|r| history::training(&ctx.run, r)).collect()
}

/// The side-by-side questions: those of the configuration, then some of each task and language.
fn shown(config: &Config, models: &[String], tasks: &Tasks, answers: &Answers) -> Vec<Shown> {
    let given = |task: &str, id: &str, known: bool| {
        models
            .iter()
            .map(|m| answers.answer(m, task, id).map(|r| Given { text: r.completion.clone(), correct: known.then_some(r.correct) }))
            .collect::<Vec<_>>()
    };
    let mut out = Vec::new();
    for (i, q) in config.questions.iter().enumerate() {
        let (id, known) = (i.to_string(), !q.answers.is_empty());
        let target = q.answers.first().cloned();
        out.push(Shown {
            task: QUESTIONS.into(),
            prompt: q.question.clone(),
            plain: false,
            target: target.clone(),
            answers: given(QUESTIONS, &id, known),
        });
        if let Some(plain) = &q.plain {
            out.push(Shown {
                task: QUESTIONS.into(),
                prompt: plain.clone(),
                plain: true,
                target,
                answers: given(CONTINUATIONS, &id, known),
            });
        }
    }
    for task in tasks.tasks.iter().rev() {
        for part in results::slices(task, &tasks.types).iter().filter(|p| p.language.is_some()) {
            let mut questions: Vec<_> = part.questions.values().collect();
            questions.sort_by_key(|q| Digest::of_bytes(q.id.as_bytes()));
            for q in questions.into_iter().take(config.questions_per_task) {
                out.push(Shown {
                    task: task.name.clone(),
                    prompt: q.question.clone(),
                    plain: false,
                    target: q.answers.first().cloned(),
                    answers: given(&task.name, &q.id, true),
                });
            }
        }
    }
    out
}
