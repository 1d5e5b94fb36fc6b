//! Stage `tokenize`: trains a tokenizer once, or takes one, and turns documents into token ids.
//!
//! In: table `documents` (from `crawl-clean`, or Parquet files). Out: table `tokens`, one shard for each input shard, and
//! `tokenizer/`, a Hugging Face directory that `AutoTokenizer` opens.
//!
//! | column of `tokens` | Arrow type | unit | nullable |
//! | --- | --- | --- | --- |
//! | `document_id` | utf8 | | no |
//! | `input_ids` | list of uint16 (vocabulary up to 65,536) or uint32 | token ids, the begin token first where there is one, the end token last | no |
//! | `num_bytes` | int64 | bytes of the text | no |
//! | `language`, `source` | utf8 | as in `documents` | no |
//!
//! Key-value metadata of every shard: `tokenizer_digest`, `vocab_size` (largest id + 1), `padded_vocab_size` (what a model's
//! embedding has: a multiple of 64), `eos_token_id`, `bos_token_id` where documents begin with it, and `pad_token_id` where the tokenizer
//! has a pad token of its own.
//!
//! Invariants:
//! - **A trained tokenizer is frozen.** New documents never change it; other settings are refused, unless `--force` or `retrain`.
//! - **Every document ends with the end token**, and begins with the begin token where the taken tokenizer puts one before a text (Llama,
//!   Mistral). **No other special token occurs**, whatever its text spells, but the unknown token of vocabularies that do not cover all
//!   text, which is counted and said.
//! - **Inputs are what was recorded**: a file with another digest is refused.
//! - **The unit is one input shard**, and its key holds the tokenizer's digest: with another tokenizer everything is encoded again,
//!   and until that is done the next stage refuses the mixture.
//! - The same inputs in the same ingest order give the same bytes for any number of threads and workers.
#![warn(missing_docs)]

pub mod bpe;
mod cache;
mod classes;
mod config;
mod count;
pub mod encode;
mod error;
pub mod fast;
mod freeze;
mod merge;
mod nfc;
pub mod pieces;
mod published;
pub mod ranks;
mod report;
mod train;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use handoff::manifest::UnitEntry;
use handoff::shard::DEFAULT_ROW_GROUP_ROWS;
use handoff::{
    Digest, DigestBuilder, IngestLog, Input, Manifest, OutputFile, Plan, ShardMeta, ShardReader, ShardWriter, TokenWidth, UnitKey, plan,
    schema,
};
use stage::{Command, ConfigProblem, DryRun, Report, Stage, StageContext, StageError, TableInputs};

pub use config::{Config, Pattern, TrainSettings};
pub use error::Error;

use encode::Counts;
use fast::Encoder;
use freeze::{Decision, Frozen};

/// Raised when the same documents and tokenizer give other output than before.
pub const FORMAT_VERSION: u32 = 4;

/// Documents encoded at a time, at most.
const BATCH_ROWS: usize = 1024;

/// Text encoded at a time, where documents are so long that [`BATCH_ROWS`] are more. (Arrow holds 2 GiB of text in a batch.)
pub(crate) const BATCH_BYTES: u64 = 1 << 26;

/// The stage.
#[derive(Debug)]
pub struct Tokenize;

impl Stage for Tokenize {
    type Config = Config;
    const NAME: &'static str = "tokenize";
    const ABOUT: &'static str = "Trains or takes a tokenizer and turns documents into token ids";
    const DEFAULT_TOML: &'static str = include_str!("default.toml");
    const UNDIGESTED: &'static [&'static str] = &["inputs", "retrain", "chat_template", "max_memory_mb"];

    fn validate(config: &Config) -> Result<(), ConfigProblem> {
        config.validate()
    }

    fn dry_run(ctx: &StageContext, config: &Config) -> Result<DryRun, StageError> {
        let inputs = TableInputs::find(ctx, &config.inputs, "documents")?;
        let manifest = Manifest::load(&ctx.stage_dir)?;
        let (digest, note) = match freeze::decide(ctx, config, &inputs.shards)? {
            Decision::Keep { tokenizer, new_template } => {
                (unit_config(&tokenizer, config)?, new_template.map(|_| "would replace the chat template".to_string()))
            }
            Decision::Take { tokenizer } => {
                (unit_config(&tokenizer, config)?, Some(format!("would copy the tokenizer from `{}`", config.tokenizer)))
            }
            // What it will be is not known, but it is not what the entries have.
            Decision::Train { why } => (Digest::of_bytes(b"not trained yet"), Some(format!("would train a tokenizer: {why}"))),
        };
        let mut dry = DryRun::of_plan(&plan(&manifest, &inputs.plan_inputs(), digest, FORMAT_VERSION, ctx.force));
        dry.notes.extend(note);
        Ok(dry)
    }

    fn run(ctx: &StageContext, config: &Config) -> Result<Report, StageError> {
        run(ctx, config)?.ok_or_else(StageError::interrupted)
    }

    fn commands() -> Vec<Command<Self>> {
        vec![report::command()]
    }
}

/// Does the stage's work; `None` if it was cancelled.
///
/// # Errors
/// See [`Error`].
pub fn run(ctx: &StageContext, config: &Config) -> Result<Option<Report>, Error> {
    let inputs = TableInputs::find(ctx, &config.inputs, "documents")?;
    if ctx.worker.count == 1 {
        // With several workers, another one's temporary files may be in use.
        handoff::atomic::remove_leftovers(ctx.stage_dir.path())?;
        handoff::atomic::remove_leftovers(&ctx.stage_dir.data())?;
    }
    let Some(frozen) = freeze::obtain(ctx, config, &inputs.shards)? else {
        return Ok(None);
    };
    let mut log = IngestLog::load(&ctx.stage_dir)?;
    log.follow(&inputs.shards)?;
    let mut manifest = Manifest::load(&ctx.stage_dir)?;
    let config_digest = unit_config(&frozen.tokenizer, config)?;
    let planned = plan(&manifest, &inputs.plan_inputs(), config_digest, FORMAT_VERSION, ctx.force);
    prune(ctx, &mut manifest, &planned)?;

    let positions = log.positions();
    let todo: Vec<(&Input, u32, u32)> = planned
        .todo
        .iter()
        .filter_map(|(input, _)| positions.get(input.unit.as_str()).map(|(batch, index)| (input, *batch, *index)))
        .filter(|(_, _, index)| ctx.worker.owns(*index as usize))
        .take(ctx.limit.map_or(usize::MAX, |limit| limit as usize))
        .collect();
    let encoder = Encoder::new(&frozen.tokenizer)?;
    let bar = ctx.progress.bar("encode", todo.len() as u64, "shards");
    let mut failures: BTreeMap<usize, Error> = BTreeMap::new();
    let mut done = 0;
    let keys = |input: &Input| UnitKey { input_digest: input.digest, config_digest, format_version: FORMAT_VERSION };
    side_by_side(
        todo.len(),
        rayon::current_num_threads(),
        |at| {
            let (input, _, index) = todo[at];
            let start = Instant::now();
            let encoded =
                if ctx.cancel.is_cancelled() { return None } else { encode_unit(ctx, &frozen, &encoder, &keys(input), input, index) };
            Some((encoded, start.elapsed().as_secs_f64()))
        },
        |at, (encoded, wall_secs)| {
            let (input, batch, index) = todo[at];
            match encoded {
                Ok((output, counts)) => {
                    tracing::debug!(unit = %input.unit, documents = counts.documents, tokens = counts.tokens, wall_secs, "encoded");
                    manifest.commit(UnitEntry {
                        unit: input.unit.clone(),
                        batch,
                        index,
                        key: keys(input),
                        outputs: vec![output],
                        rejected: Vec::new(),
                        counts: counts.to_manifest(),
                        wall_secs,
                    })?;
                    done += 1;
                }
                Err(error) => drop(failures.insert(at, error)),
            }
            bar.inc(1);
            Ok(())
        },
    )?;
    if done + failures.len() < todo.len() {
        manifest.write_summary()?;
        return Ok(None);
    }
    bar.finish();
    let summary = manifest.write_summary()?;
    let failed = failures.len();
    if let Some((at, source)) = failures.pop_first() {
        return Err(Error::Units { failed, units: todo.len(), first: todo[at].0.unit.clone(), source: Box::new(source) });
    }
    let mut notes = frozen.notes;
    notes.extend(encode::summary(&summary.counts));
    let shards = ctx.stage_dir.data();
    Ok(Some(Report {
        inputs_done: done as u64,
        inputs_skipped: planned.skip.len() as u64,
        rows: summary.rows,
        bytes_out: summary.bytes,
        rejected: 0,
        notes,
        look: vec![
            format!("{}", ctx.stage_dir.tokenizer_dir().display()),
            format!("tokenize report --config {} --run {}", ctx.run.effective_toml().display(), ctx.run.path().display()),
            format!("duckdb -c \"select language, count(*), sum(len(input_ids)) from '{}/*.parquet' group by all\"", shards.display()),
        ],
        watch: inputs.watch.into_iter().chain(frozen.watch).collect(),
        text: None,
    }))
}

/// Works on `units` numbers from 0, on up to `threads` of them at a time, and gives every result to `take` on the calling thread, in the order
/// in which they are done. `work` may say that nothing more is to be begun.
///
/// Reading and writing a shard cannot be shared between threads: with one shard after the other, they would keep all cores but one waiting.
///
/// # Errors
/// What `take` returns, after which nothing more is begun.
fn side_by_side<R: Send>(
    units: usize,
    threads: usize,
    work: impl Fn(usize) -> Option<R> + Sync,
    mut take: impl FnMut(usize, R) -> Result<(), Error>,
) -> Result<(), Error> {
    let (next, (results, taken)) = (AtomicUsize::new(0), mpsc::channel());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(units) {
            let (results, next, work) = (results.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(result) = (at < units).then(|| work(at)).flatten() else { break };
                    // Nobody listens any more after an error.
                    if results.send((at, result)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(results);
        taken.into_iter().try_for_each(|(at, result)| take(at, result))
    })
}

/// What a unit's ids depend on besides its documents: the tokenizer, the begin token and the end token.
fn unit_config(tokenizer: &text::Tokenizer, config: &Config) -> Result<Digest, Error> {
    let end = config.end_token.as_deref().unwrap_or_default();
    let digest = DigestBuilder::new().field("tokenizer", tokenizer.digest()).field("end_token", end);
    Ok(match freeze::ends(tokenizer, config)?.begin {
        Some(id) => digest.field("begin_token", id.to_string()).finish(),
        None => digest.finish(),
    })
}

/// Vanished inputs are an error, unless their outputs are to go.
fn prune(ctx: &StageContext, manifest: &mut Manifest, planned: &Plan) -> Result<(), Error> {
    let Some(first) = planned.vanished.first() else {
        return Ok(());
    };
    if !ctx.prune {
        return Err(handoff::Error::Vanished {
            stage: ctx.stage_dir.name().to_string(),
            count: planned.vanished.len(),
            first: first.clone(),
        }
        .into());
    }
    for unit in &planned.vanished {
        manifest.remove(unit)?;
    }
    Ok(())
}

fn encode_unit(
    ctx: &StageContext,
    frozen: &Frozen,
    encoder: &Encoder<'_>,
    key: &UnitKey,
    input: &Input,
    index: u32,
) -> Result<(OutputFile, Counts), Error> {
    input.digest.check(&input.path)?;
    let reader = ShardReader::open(&input.path, &schema::documents())?;
    let tokenizer = &frozen.tokenizer;
    let width = TokenWidth::for_vocab(tokenizer.padded_vocab_size());
    let mut extra = BTreeMap::from([
        ("tokenizer_digest".to_string(), tokenizer.digest().to_string()),
        ("vocab_size".to_string(), tokenizer.vocab_size().to_string()),
        ("padded_vocab_size".to_string(), tokenizer.padded_vocab_size().to_string()),
        ("eos_token_id".to_string(), frozen.ends.end.to_string()),
    ]);
    if let Some(begin) = frozen.ends.begin {
        extra.insert("bos_token_id".into(), begin.to_string());
    }
    if let Some(pad) = tokenizer.pad_id().filter(|pad| *pad != frozen.ends.end && Some(*pad) != frozen.ends.begin) {
        extra.insert("pad_token_id".into(), pad.to_string());
    }
    let meta = ShardMeta { stage: Tokenize::NAME.into(), config_digest: key.config_digest.to_string(), extra };
    let mut writer = ShardWriter::with_split_ids(&ctx.stage_dir.data_shard(index), &schema::tokens(width), &meta, DEFAULT_ROW_GROUP_ROWS)?;
    let mut counts = Counts::default();
    for batch in reader.batches_of(reader.rows_within(BATCH_BYTES, "text", BATCH_ROWS), &["id", "text", "language", "source"])? {
        writer.write(&encode::encode(&batch?, encoder, frozen.ends, width, &mut counts)?)?;
    }
    Ok((writer.finish(&ctx.stage_dir)?, counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_worked_on_once_by_any_number_of_threads() {
        for threads in [1, 3, 50] {
            let mut seen = Vec::new();
            side_by_side(
                20,
                threads,
                |at| Some(at * at),
                |at, square| {
                    seen.push((at, square));
                    Ok(())
                },
            )
            .unwrap();
            seen.sort_unstable();
            assert_eq!(seen, (0..20).map(|at| (at, at * at)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn nothing_more_is_begun_after_an_error_or_a_stop() {
        let begun = AtomicUsize::new(0);
        let error = side_by_side(
            1000,
            1,
            |at| {
                begun.fetch_add(1, Ordering::Relaxed);
                // Slow enough that the error arrives before all of them are done.
                std::thread::sleep(std::time::Duration::from_millis(1));
                Some(at)
            },
            |_, _| Err(Error::Build { message: "full".into() }),
        );
        assert!(error.is_err() && begun.load(Ordering::Relaxed) < 1000);
        let mut taken = 0;
        let until_ten = |at| (at < 10).then_some(());
        side_by_side(1000, 2, until_ten, |_, ()| {
            taken += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(taken, 10);
    }
}
