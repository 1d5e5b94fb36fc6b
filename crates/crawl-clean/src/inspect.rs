//! `crawl-clean inspect`: refused text beside kept text, for the eye to judge a rule by.

use crate::error::Error;
use crate::reason::Reason;
use crate::{Config, CrawlClean};
use arrow::array::{Array, Float64Array, RecordBatch};
use handoff::columns::{f64s, strings};
use handoff::{Manifest, OutputFile, ShardReader, TableSchema, schema};
use stage::{Command, StageContext, StageError};
use std::collections::{HashMap, HashSet};

/// Width of a column, and of the whole.
const COLUMN: usize = 38;
const WIDTH: usize = 80;
/// Lines shown of a text.
const LINES: usize = 8;

/// The command's arguments and its function.
#[must_use]
pub fn command() -> Command<CrawlClean> {
    let clap = clap::Command::new("inspect")
        .about("Shows refused text beside kept text of the same language, a duplicate beside what it repeats")
        .arg(clap::Arg::new("reason").long("reason").required(true).value_name("REASON").help("Reason of the refusal, such as too_short"))
        .arg(
            clap::Arg::new("number")
                .short('n')
                .long("number")
                .value_name("N")
                .default_value("10")
                .value_parser(clap::value_parser!(u64).range(1..))
                .help("How many, spread evenly over the run"),
        );
    Command {
        clap,
        run: |ctx, _: &Config, matches| {
            let reason = matches.get_one::<String>("reason").map(String::as_str).unwrap_or_default();
            let number = matches.get_one::<u64>("number").copied().unwrap_or(10);
            inspect(ctx, reason, number as usize).map_err(StageError::from)
        },
    }
}

/// A refused text with what was measured.
struct Refused {
    url: String,
    detail: String,
    text: String,
    /// The document that it repeats.
    keeper: Option<String>,
}

fn inspect(ctx: &StageContext, reason: &str, number: usize) -> Result<String, Error> {
    let Some(reason) = Reason::parse(reason) else {
        return Err(Error::NoSuchReason { name: reason.to_owned() });
    };
    let manifest = Manifest::load(&ctx.stage_dir)?;
    let count = |name: &str| manifest.units().values().filter_map(|unit| unit.counts.get(name)).sum::<u64>() as usize;
    let total = count(&format!("rejected.{reason}"));
    if total == 0 {
        return Ok(format!("nothing was refused for {reason}\n"));
    }
    // With `rejected_per_reason` not all of them are there.
    let stored = stored(ctx, &manifest, reason)?;
    let refused = refused(ctx, &manifest, reason, stored, number)?;
    let some = if stored < total { format!(", {stored} of them kept in rejected/") } else { String::new() };
    let beside_what = if reason.names_keeper() { "what they repeat" } else { "kept text" };
    let mut out = format!("{total} refused for {reason}{some}; {} of them beside {beside_what}\n", refused.len());
    let kept = if reason.names_keeper() { Vec::new() } else { kept(ctx, &manifest, count("kept"), 4 * number)? };
    let keepers = keepers(ctx, &manifest, refused.iter().filter_map(|row| row.keeper.as_deref()).collect())?;
    let mut used = vec![false; kept.len()];
    for (i, row) in refused.iter().enumerate() {
        let language = corpus::language(&row.text).tag;
        out.push_str(&format!("\n{}\n", "─".repeat(WIDTH)));
        out.push_str(&cut(&format!("{}. {language}  {}", i + 1, row.detail), WIDTH));
        out.push('\n');
        let right = if let Some(id) = &row.keeper {
            out.push_str(&format!("repeats {id}\n"));
            keepers.get(id).cloned().unwrap_or_else(|| "repeats: a text that is not kept in rejected/".into())
        } else if let Some(k) = (0..kept.len()).find(|&k| !used[k] && kept[k].0 == language) {
            used[k] = true;
            kept[k].1.clone()
        } else {
            "kept: none kept in this language".into()
        };
        out.push_str(&beside(&format!("refused: {}\n{}", row.url, row.text), &right));
    }
    Ok(out)
}

/// Places of `number` of `total` things, spread evenly.
fn spread(total: usize, number: usize) -> impl Fn(usize) -> bool {
    let number = number.clamp(1, total.max(1));
    move |place| place * number / total.max(1) != (place + 1) * number / total.max(1)
}

/// Calls `take` with the batches of all these files.
fn each_batch<'a>(
    ctx: &StageContext,
    files: impl Iterator<Item = &'a OutputFile>,
    table: &TableSchema,
    columns: &[&str],
    mut take: impl FnMut(&RecordBatch) -> Result<(), Error>,
) -> Result<(), Error> {
    for file in files {
        for batch in ShardReader::open(&ctx.stage_dir.absolute(&file.path), table)?.batches_of(1024, columns)? {
            take(&batch?)?;
        }
    }
    Ok(())
}

/// Rows of a reason in `rejected/`.
fn stored(ctx: &StageContext, manifest: &Manifest, reason: Reason) -> Result<usize, Error> {
    let mut stored = 0;
    let files = manifest.units().values().flat_map(|unit| &unit.rejected);
    each_batch(ctx, files, &schema::rejected(), &["reason"], |batch| {
        stored += strings(batch, "reason")?.iter().filter(|have| *have == Some(reason.as_str())).count();
        Ok(())
    })?;
    Ok(stored)
}

fn refused(ctx: &StageContext, manifest: &Manifest, reason: Reason, total: usize, number: usize) -> Result<Vec<Refused>, Error> {
    let chosen = spread(total, number);
    let mut rows = Vec::new();
    let mut place = 0;
    let units = manifest.in_order();
    let columns = ["url", "reason", "value", "threshold", "detail", "text", "failed_rules", "duplicate_of"];
    each_batch(ctx, units.iter().flat_map(|unit| &unit.rejected), &schema::rejected(), &columns, |batch| {
        let text = |name: &str, row: usize| -> Result<Option<String>, Error> {
            let column = strings(batch, name)?;
            Ok(column.is_valid(row).then(|| column.value(row).to_owned()))
        };
        let reasons = strings(batch, "reason")?;
        let (values, thresholds) = (f64s(batch, "value")?, f64s(batch, "threshold")?);
        let failed = handoff::columns::lists(batch, "failed_rules")?;
        for row in (0..batch.num_rows()).filter(|&row| reasons.value(row) == reason.as_str()) {
            if chosen(place) {
                let number = |array: &Float64Array| array.is_valid(row).then(|| format!("{:.4}", array.value(row)));
                let keeper = text("duplicate_of", row)?;
                let mut told = vec![reason.to_string()];
                told.extend(number(values).map(|value| format!("value {value}")));
                told.extend(number(thresholds).map(|threshold| format!("threshold {threshold}")));
                told.extend(text("detail", row)?.filter(|_| keeper.is_none()));
                let others = failed.is_valid(row).then(|| failed.value_length(row) - 1).filter(|n| *n > 0);
                told.extend(others.map(|n| format!("and {n} more rule{}", if n == 1 { "" } else { "s" })));
                let (url, text) = (text("url", row)?.unwrap_or_default(), text("text", row)?.unwrap_or_default());
                rows.push(Refused { url, detail: told.join(", "), text, keeper });
            }
            place += 1;
        }
        Ok(())
    })?;
    Ok(rows)
}

/// The documents of these ids, kept or refused themselves, as they are shown.
fn keepers(ctx: &StageContext, manifest: &Manifest, ids: HashSet<&str>) -> Result<HashMap<String, String>, Error> {
    let mut found = HashMap::new();
    if ids.is_empty() {
        return Ok(found);
    }
    let mut look = |batch: &RecordBatch, what: &str| -> Result<(), Error> {
        let (keys, urls, texts) = (strings(batch, "id")?, strings(batch, "url")?, strings(batch, "text")?);
        for row in (0..batch.num_rows()).filter(|&row| ids.contains(keys.value(row))) {
            let text = if texts.is_valid(row) { texts.value(row) } else { "" };
            found.entry(keys.value(row).to_owned()).or_insert_with(|| format!("{what}: {}\n{text}", urls.value(row)));
        }
        Ok(())
    };
    let units = manifest.in_order();
    let columns = ["id", "url", "text"];
    each_batch(ctx, units.iter().flat_map(|unit| &unit.outputs), &schema::documents(), &columns, |batch| look(batch, "kept"))?;
    each_batch(ctx, units.iter().flat_map(|unit| &unit.rejected), &schema::rejected(), &columns, |batch| look(batch, "refused too"))?;
    Ok(found)
}

/// Language of kept documents, and the documents as they are shown.
fn kept(ctx: &StageContext, manifest: &Manifest, total: usize, number: usize) -> Result<Vec<(String, String)>, Error> {
    let chosen = spread(total, number);
    let mut rows = Vec::new();
    let mut place = 0;
    let units = manifest.in_order();
    each_batch(ctx, units.iter().flat_map(|unit| &unit.outputs), &schema::documents(), &["url", "text", "language"], |batch| {
        let (languages, urls, texts) = (strings(batch, "language")?, strings(batch, "url")?, strings(batch, "text")?);
        for row in 0..batch.num_rows() {
            if chosen(place) {
                rows.push((languages.value(row).to_owned(), format!("kept: {}\n{}", urls.value(row), texts.value(row))));
            }
            place += 1;
        }
        Ok(())
    })?;
    Ok(rows)
}

/// Columns that a character takes on a terminal.
fn width(c: char) -> usize {
    let wide = matches!(c as u32, 0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFE30..=0xFE6F
        | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x1F300..=0x1FAFF | 0x2_0000..=0x3_FFFF);
    if c.is_control() { 0 } else { 1 + usize::from(wide) }
}

/// The beginning of `text` that fits into so many columns.
fn cut(text: &str, columns: usize) -> String {
    let mut used = 0;
    text.chars()
        .take_while(|&c| {
            used += width(c);
            used <= columns
        })
        .collect()
}

/// Two texts side by side.
fn beside(left: &str, right: &str) -> String {
    let (left, right) = (wrap(left), wrap(right));
    let mut out = String::new();
    for row in 0..left.len().max(right.len()) {
        let get = |lines: &[String]| lines.get(row).cloned().unwrap_or_default();
        let (left, right) = (get(&left), get(&right));
        let pad = COLUMN - left.chars().map(width).sum::<usize>();
        out.push_str(format!("{left}{} │ {right}", " ".repeat(pad + 1)).trim_end());
        out.push('\n');
    }
    out
}

/// The first lines of a text, broken at the column's width, after spaces where there are any.
fn wrap(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in text.lines() {
        let mut rest = line.trim();
        while !rest.is_empty() && out.len() < LINES {
            let whole = cut(rest, COLUMN);
            let at_space = whole.rfind(' ').filter(|&at| whole.len() < rest.len() && 2 * at > whole.len());
            // A column holds at least the widest character, so this goes on.
            let end = at_space.unwrap_or(whole.len()).max(rest.chars().next().map_or(1, char::len_utf8));
            out.push(rest[..end].chars().filter(|c| !c.is_control()).collect());
            rest = rest[end..].trim_start();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_in_either_script() {
        let text = beside(&"word and more ".repeat(20), &"中国最高的山是珠穆朗玛峰。".repeat(20));
        assert_eq!(text.lines().count(), LINES);
        for line in text.lines() {
            assert!(line.chars().map(width).sum::<usize>() <= WIDTH, "{line}");
            assert_eq!(line.split(" │ ").next().unwrap().chars().map(width).sum::<usize>(), COLUMN + 1, "{line}");
        }
        assert_eq!(wrap("\n\n a\tb \n"), ["ab"]);
    }

    #[test]
    fn samples_are_spread() {
        let places = |total: usize, number: usize| (0..total).filter(|&place| spread(total, number)(place)).collect::<Vec<_>>();
        assert_eq!(places(10, 3).len(), 3);
        assert_eq!(places(2, 5), [0, 1]);
        assert!(places(1000, 4)[0] > 100);
    }
}
