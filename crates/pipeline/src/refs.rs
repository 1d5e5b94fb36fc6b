//! References that lead nowhere: a variant that is not there, a stage's name misspelt.
//!
//! `stage::PipelineFile::order` follows the references that name a stage; whatever else stands under a reference key is a path.
//! A bare word that is neither a stage nor a path is a typing error, and is shown where it stands.

use std::path::Path;

use stage::{PipelineFile, REFERENCE_KEYS, STAGE_NAMES};

use crate::Error;

/// Refuses the first reference to nothing.
///
/// # Errors
/// [`Error::UnknownReference`] with line and caret.
pub(crate) fn check(file: &PipelineFile) -> Result<(), Error> {
    for (stage, table) in &file.stages {
        walk(file, stage, table)?;
    }
    Ok(())
}

fn walk(file: &PipelineFile, stage: &str, table: &toml::Table) -> Result<(), Error> {
    for (key, value) in table {
        check_value(file, stage, REFERENCE_KEYS.contains(&key.as_str()), value)?;
    }
    Ok(())
}

fn check_value(file: &PipelineFile, stage: &str, reference: bool, value: &toml::Value) -> Result<(), Error> {
    match value {
        toml::Value::String(text) if reference => match problem(file, text) {
            Some((message, hint)) => Err(located(file, stage, text, message, hint)),
            None => Ok(()),
        },
        toml::Value::Array(items) => items.iter().try_for_each(|v| check_value(file, stage, reference, v)),
        toml::Value::Table(inner) => walk(file, stage, inner),
        _ => Ok(()),
    }
}

/// Words that stages take in place of a stage or a path: new weights, and a tokenizer to be trained.
const KEYWORDS: [&str; 3] = ["random", "none", "train"];

/// What is wrong with a reference, and what could be meant.
fn problem(file: &PipelineFile, text: &str) -> Option<(String, Option<String>)> {
    let (head, variant) = text.split_once('/').map_or((text, None), |(h, v)| (h, Some(v)));
    if STAGE_NAMES.contains(&head) {
        let variant = variant?;
        let table = file.stages.get(head)?;
        let variants: Vec<&str> =
            table.get("variant").and_then(|v| v.as_table()).map(|t| t.keys().map(String::as_str).collect()).unwrap_or_default();
        if variants.contains(&variant) {
            return None;
        }
        let known = if variants.is_empty() { "it has none".into() } else { format!("it has: {}", variants.join(", ")) };
        return Some((
            format!("stage `{head}` has no variant `{variant}`"),
            Some(format!("a variant is a table [stage.{head}.variant.<name>]; {known}")),
        ));
    }
    if KEYWORDS.contains(&text) {
        return None;
    }
    // Whatever looks like a path, a pattern or an address is for the stage to judge.
    let bare = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if !bare || file.config_dir().join(text).exists() {
        return None;
    }
    let near = STAGE_NAMES.iter().map(|s| (distance(s, text), *s)).min().filter(|(d, s)| *d * 3 <= s.len());
    let hint = near.map_or_else(|| format!("the stages are: {}", STAGE_NAMES.join(", ")), |(_, s)| format!("did you mean `{s}`?"));
    Some((format!("`{text}` is neither a stage nor a path beside this file"), Some(hint)))
}

/// The quoted text after the stage's table header, with line and caret; without them if it came from `--set`.
fn located(file: &PipelineFile, stage: &str, text: &str, message: String, hint: Option<String>) -> Error {
    let header = file.text.find(&format!("[stage.{stage}]")).unwrap_or(0);
    let found = ['"', '\''].iter().filter_map(|q| file.text[header..].find(&format!("{q}{text}{q}")).map(|at| header + at)).min();
    let path: &Path = &file.path;
    let Some(at) = found else {
        return Error::UnknownReference { place: format!("{}, [stage.{stage}]", path.display()), message, excerpt: String::new(), hint };
    };
    let start = file.text[..at].rfind('\n').map_or(0, |i| i + 1);
    let end = file.text[at..].find('\n').map_or(file.text.len(), |i| at + i);
    let (line, column) = (file.text[..at].matches('\n').count() + 1, file.text[start..at].chars().count() + 1);
    let gutter = " ".repeat(line.to_string().len());
    let caret = "^".repeat(text.chars().count() + 2);
    let excerpt = format!("\n{gutter} |\n{line} | {}\n{gutter} | {}{caret}", &file.text[start..end], " ".repeat(column - 1));
    Error::UnknownReference { place: format!("{}, line {line}, column {column}", path.display()), message, excerpt, hint }
}

/// Edits (insert, delete, replace, swap of neighbours not counted as one) between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(ca != *cb)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str, sets: &[&str]) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("pages")).unwrap();
        let path = dir.path().join("p.toml");
        std::fs::write(&path, format!("run = \"t\"\n{body}")).unwrap();
        let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
        let file = PipelineFile::read(&path, &sets).unwrap();
        check(&file).err().map(|e| format!("{e}\n{}", stage::Failure::hint(&e).unwrap_or_default()))
    }

    #[test]
    fn a_misspelt_stage_is_shown_where_it_stands() {
        let text = message("[stage.sft]\npairs = \"x.jsonl\"\ninit_from = \"pretrian\"\n", &[]).unwrap();
        for part in [
            "p.toml, line 4, column 13",
            "`pretrian` is neither a stage nor a path",
            "4 | init_from = \"pretrian\"",
            "  |             ^^^^^^^^^^",
            "did you mean `pretrain`?",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let text =
            message("[stage.eval]\nmodels = [\n  { name = \"a\", from = \"sft/lroa\" },\n]\n[stage.sft.variant.lora]\n", &[]).unwrap();
        assert!(text.contains("line 4, column 24") && text.contains("no variant `lroa`") && text.contains("it has: lora"), "{text}");
        let text = message("[stage.sft]\n", &["stage.sft.init_from=qqq"]).unwrap();
        assert!(text.contains("[stage.sft]: `qqq`") && text.contains("the stages are: crawl-clean"), "{text}");
    }

    #[test]
    fn paths_stages_and_other_keys_are_left_alone() {
        let body = "[stage.crawl-clean]\ninputs = [\"pages\", \"../x/*.warc.gz\", \"/abs\"]\nmode = \"strict\"\n\
                    [stage.sft]\ninit_from = \"pretrain\"\n[stage.sft.variant.only]\n[stage.eval]\nmodels = [{ name = \"base\", from = \"sft/only\" }]\n";
        assert_eq!(message(body, &[]), None);
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!((distance("shard", "shard"), distance("shard", "shrad"), distance("sft", "")), (0, 2, 3));
    }
}
