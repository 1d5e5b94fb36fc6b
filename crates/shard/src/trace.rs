//! `shard trace`: what a sample is made of, and what it teaches: a prefix, and the token that comes next.

use std::fmt::Write;
use std::path::Path;

use arrow::array::{Array, Int64Array, StringArray};
use handoff::{Error as HandoffError, ShardReader, TokenWidth, columns, schema};
use stage::{Command, StageContext, StageError, TableInputs};
use text::Tokenizer;

use crate::config::Config;
use crate::write::parse_sample_id;
use crate::{Error, Shard, source};

/// Characters of a prefix or a part that are shown.
const SHOWN_CHARS: usize = 48;

/// Rows decoded at a time on the way to the one asked for.
const BATCH_ROWS: usize = 256;

/// The command's arguments and its function.
pub(crate) fn command() -> Command<Shard> {
    let clap = clap::Command::new("trace")
        .about("Prints a sample: the documents it came from and, with --pairs, every prefix and its next token")
        .arg(clap::Arg::new("sample").required(true).value_name("SAMPLE").help("Name of the sample, such as train-00000-000017"))
        .arg(
            clap::Arg::new("pairs").long("pairs").action(clap::ArgAction::SetTrue).help("Print every prefix and the token that comes next"),
        );
    Command {
        clap,
        run: |ctx, config, matches| {
            let name = matches.get_one::<String>("sample").map(String::as_str).unwrap_or_default();
            trace(ctx, config, name, matches.get_flag("pairs")).map_err(StageError::from)
        },
    }
}

/// A sample as it stands in its shard.
struct Sample {
    ids: Vec<u32>,
    starts: Vec<i32>,
    documents: Vec<String>,
    offsets: Vec<i64>,
    num_bytes: i64,
    padding: columns::Padding,
}

/// The text that `shard trace` prints.
///
/// # Errors
/// When there is no such sample, or no tokenizer to spell it.
pub(crate) fn trace(ctx: &StageContext, config: &Config, name: &str, pairs: bool) -> Result<String, Error> {
    let (split, batch, row) = parse_sample_id(name).ok_or_else(|| Error::NotASample { name: name.to_string() })?;
    let path = ctx.stage_dir.split_shard(split.name(), batch);
    let sample = read(&path, name, row)?;
    let inputs = TableInputs::find(ctx, &config.inputs, "tokens")?;
    let tokenizer = Tokenizer::load(&source::tokenizer_dir(ctx, config, &inputs)?)?;

    let used = sample.padding.used(&sample.ids);
    let mut out = String::new();
    let targets = used.saturating_sub(1);
    let padding = sample.ids.len() - used;
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "sample {name}: {targets} predicted tokens, {} bytes of text, {} document part(s){}",
        sample.num_bytes,
        sample.documents.len(),
        if padding > 0 { format!(", {padding} tokens of padding") } else { String::new() }
    );
    for part in 0..sample.documents.len() {
        let (start, end) = bounds(&sample, part, used);
        let offset = sample.offsets[part];
        let from = if offset > 0 { format!(" from its token {offset}") } else { String::new() };
        let _ = writeln!(out, "\npart {part}: tokens {start}..{end}, document {}{from}", sample.documents[part]);
        let text = tokenizer.decode(&sample.ids[start..end])?;
        let _ = writeln!(out, "  {}", shorten_end(&one_line(&text)));
        if pairs {
            // A part that goes on with a document begins with the token before, which is no target.
            let first = if offset > 0 { start + 1 } else { start.max(1) };
            for at in first..end {
                // Within a document, what stands before; at its start, the token that ended the one before.
                let from = if at == start { at - 1 } else { start };
                let prefix = tokenizer.decode(&sample.ids[from..at])?;
                let _ = writeln!(out, "  {} → {}", shorten_start(&one_line(&prefix)), spell(&tokenizer, sample.ids[at])?);
            }
        }
    }
    Ok(out)
}

fn bounds(sample: &Sample, part: usize, used: usize) -> (usize, usize) {
    let at = |part: usize| sample.starts.get(part).map_or(used, |start| (*start).max(0) as usize);
    (at(part), at(part + 1))
}

fn read(path: &Path, name: &str, row: u64) -> Result<Sample, Error> {
    let missing = |rows| Error::NoSuchSample { name: name.to_string(), path: path.to_path_buf(), rows };
    if !path.exists() {
        return Err(missing(None));
    }
    let reader = match ShardReader::open(path, &schema::samples(TokenWidth::U16)) {
        Err(HandoffError::WrongColumn { column, .. }) if column == "input_ids" => {
            ShardReader::open(path, &schema::samples(TokenWidth::U32))?
        }
        other => other?,
    };
    let mut before = 0;
    for batch in reader.batches(BATCH_ROWS)? {
        let batch = batch?;
        let rows = batch.num_rows() as u64;
        if row < before + rows {
            let one = batch.slice((row - before) as usize, 1);
            let wrong = |column: &str| HandoffError::WrongColumn {
                path: path.to_path_buf(),
                column: column.to_string(),
                expected: "List".into(),
                got: "another type".into(),
            };
            let documents = columns::lists(&one, "document_ids")?.value(0);
            let documents = documents.as_any().downcast_ref::<StringArray>().ok_or_else(|| wrong("document_ids"))?;
            let offsets = columns::lists(&one, "token_offsets")?.value(0);
            let offsets = offsets.as_any().downcast_ref::<Int64Array>().ok_or_else(|| wrong("token_offsets"))?;
            return Ok(Sample {
                ids: columns::token_rows(&one, "input_ids")?.swap_remove(0),
                starts: columns::i32_rows(&one, "document_starts")?.swap_remove(0),
                documents: (0..documents.len()).map(|i| documents.value(i).to_string()).collect(),
                offsets: offsets.values().to_vec(),
                num_bytes: columns::i64s(&one, "num_bytes")?.value(0),
                padding: columns::Padding::of(|key| reader.metadata().get(key).map(String::as_str)),
            });
        }
        before += rows;
    }
    Err(missing(Some(reader.rows())))
}

/// A token as text, or its bytes in hex where it is only a part of a character.
fn spell(tokenizer: &Tokenizer, id: u32) -> Result<String, Error> {
    if tokenizer.is_special(id) {
        return Ok(tokenizer.decode(&[id])?);
    }
    let bytes = tokenizer.token_bytes(id);
    Ok(match std::str::from_utf8(&bytes) {
        Ok(text) => one_line(text),
        Err(_) => bytes.iter().map(|byte| format!("<{byte:02X}>")).collect(),
    })
}

fn one_line(text: &str) -> String {
    text.replace('\n', "⏎").replace('\t', "⇥")
}

fn shorten_start(text: &str) -> String {
    let count = text.chars().count();
    if count <= SHOWN_CHARS { text.to_string() } else { format!("…{}", text.chars().skip(count - SHOWN_CHARS).collect::<String>()) }
}

fn shorten_end(text: &str) -> String {
    if text.chars().count() <= 2 * SHOWN_CHARS {
        text.to_string()
    } else {
        format!("{}…", text.chars().take(2 * SHOWN_CHARS).collect::<String>())
    }
}
