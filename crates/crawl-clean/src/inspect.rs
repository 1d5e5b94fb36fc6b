//! `crawl-clean inspect`: refused text beside kept text, for the eye to judge a rule by.

use crate::error::Error;
use crate::reason::Reason;
use crate::{Config, CrawlClean};
use arrow::array::{Array, Float64Array};
use handoff::columns::{f64s, strings};
use handoff::{Manifest, ShardReader, schema};
use stage::{Command, StageContext, StageError};

/// Width of a column, and of the whole.
const COLUMN: usize = 38;
const WIDTH: usize = 80;
/// Lines shown of a text.
const LINES: usize = 8;

/// The command's arguments and its function.
#[must_use]
pub fn command() -> Command<CrawlClean> {
    let clap = clap::Command::new("inspect")
        .about("Shows refused text beside kept text of the same language")
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
    let refused = refused(ctx, &manifest, reason, total, number)?;
    let kept = kept(ctx, &manifest, count("kept"), 4 * number)?;
    let mut used = vec![false; kept.len()];
    let mut out = format!("{total} refused for {reason}; {} of them beside kept text\n", refused.len());
    for (i, row) in refused.iter().enumerate() {
        let language = corpus::language(&row.text).tag;
        let same = (0..kept.len()).find(|&k| !used[k] && kept[k].0 == language);
        if let Some(k) = same {
            used[k] = true;
        }
        let (url, text) = same.map_or(("none kept in this language", ""), |k| (kept[k].1.as_str(), kept[k].2.as_str()));
        out.push_str(&format!("\n{}\n", "─".repeat(WIDTH)));
        out.push_str(&cut(&format!("{}. {language}  {}", i + 1, row.detail), WIDTH));
        out.push('\n');
        out.push_str(&beside(&format!("refused: {}\n{}", row.url, row.text), &format!("kept: {url}\n{text}")));
    }
    Ok(out)
}

/// Places of `number` of `total` things, spread evenly.
fn spread(total: usize, number: usize) -> impl Fn(usize) -> bool {
    let number = number.clamp(1, total.max(1));
    move |place| place * number / total.max(1) != (place + 1) * number / total.max(1)
}

fn refused(ctx: &StageContext, manifest: &Manifest, reason: Reason, total: usize, number: usize) -> Result<Vec<Refused>, Error> {
    let chosen = spread(total, number);
    let mut rows = Vec::new();
    let mut place = 0;
    for file in manifest.in_order().iter().flat_map(|unit| &unit.rejected) {
        let columns = ["url", "reason", "value", "threshold", "detail", "text", "failed_rules"];
        for batch in ShardReader::open(&ctx.stage_dir.absolute(&file.path), &schema::rejected())?.batches_of(1024, &columns)? {
            let batch = batch?;
            let (urls, reasons, texts) = (strings(&batch, "url")?, strings(&batch, "reason")?, strings(&batch, "text")?);
            let (values, thresholds, details) = (f64s(&batch, "value")?, f64s(&batch, "threshold")?, strings(&batch, "detail")?);
            let failed = handoff::columns::lists(&batch, "failed_rules")?;
            for row in (0..batch.num_rows()).filter(|&row| reasons.value(row) == reason.as_str()) {
                if chosen(place) {
                    let number = |array: &Float64Array| array.is_valid(row).then(|| format!("{:.4}", array.value(row)));
                    let mut told = vec![reason.to_string()];
                    told.extend(number(values).map(|value| format!("value {value}")));
                    told.extend(number(thresholds).map(|threshold| format!("threshold {threshold}")));
                    told.extend(details.is_valid(row).then(|| details.value(row).to_owned()));
                    let others = failed.is_valid(row).then(|| failed.value_length(row) - 1).filter(|n| *n > 0);
                    told.extend(others.map(|n| format!("and {n} more rules")));
                    let text = if texts.is_valid(row) { texts.value(row) } else { "" };
                    rows.push(Refused { url: urls.value(row).to_owned(), detail: told.join(", "), text: text.to_owned() });
                }
                place += 1;
            }
        }
    }
    Ok(rows)
}

/// Language, address and text of kept documents.
fn kept(ctx: &StageContext, manifest: &Manifest, total: usize, number: usize) -> Result<Vec<(String, String, String)>, Error> {
    let chosen = spread(total, number);
    let mut rows = Vec::new();
    let mut place = 0;
    for file in manifest.in_order().iter().flat_map(|unit| &unit.outputs) {
        let reader = ShardReader::open(&ctx.stage_dir.absolute(&file.path), &schema::documents())?;
        for batch in reader.batches_of(1024, &["url", "text", "language"])? {
            let batch = batch?;
            let columns = (strings(&batch, "language")?, strings(&batch, "url")?, strings(&batch, "text")?);
            for row in 0..batch.num_rows() {
                if chosen(place) {
                    rows.push((columns.0.value(row).to_owned(), columns.1.value(row).to_owned(), columns.2.value(row).to_owned()));
                }
                place += 1;
            }
        }
    }
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
