//! `tokenize report`: how well the tokenizer suits the documents: bytes per token, the documents that it compresses worst, tokens that no
//! document uses, and tokens that look like waste.

use std::fmt::Write;

use handoff::{Manifest, ShardReader, TokenWidth, columns, schema};
use stage::{Command, StageContext, StageError};
use text::Tokenizer;

use crate::{Error, Tokenize, encode};

/// Documents shorter than this say little about a tokenizer.
const MIN_BYTES: i64 = 200;

/// Tokens listed of each kind unless `--show` says otherwise.
const SHOWN: usize = 20;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 1024;

/// A token in a single document is listed only if it stands there this often: a rare word is no waste.
const MIN_IN_ONE: u64 = 10;

/// The command's arguments and its function.
pub(crate) fn command() -> Command<Tokenize> {
    let clap = clap::Command::new("report")
        .about("Bytes per token by language, worst-compressed documents, unused and wasted tokens; reads what was encoded")
        .arg(
            clap::Arg::new("show")
                .long("show")
                .value_name("N")
                .value_parser(clap::value_parser!(usize))
                .help("Documents and tokens to list of each kind [default: 20]"),
        );
    Command {
        clap,
        run: |ctx, _, matches| report(ctx, matches.get_one::<usize>("show").copied().unwrap_or(SHOWN)).map_err(StageError::from),
    }
}

/// A document and how it is compressed.
struct Document {
    id: String,
    language: String,
    source: String,
    bytes: i64,
    tokens: usize,
}

impl Document {
    fn bytes_per_token(&self) -> f64 {
        self.bytes as f64 / self.tokens.max(1) as f64
    }
}

/// How a token is used.
#[derive(Debug, Clone, Copy, Default)]
struct Use {
    count: u64,
    documents: u32,
    /// The last document it stood in, from 1.
    last: u64,
}

/// The text that `tokenize report` prints.
///
/// # Errors
/// When nothing was encoded yet, or a shard cannot be read.
pub(crate) fn report(ctx: &StageContext, show: usize) -> Result<String, Error> {
    let manifest = Manifest::load(&ctx.stage_dir)?;
    let tokenizer = Tokenizer::load(&ctx.stage_dir.tokenizer_dir())?;
    let mut uses = vec![Use::default(); tokenizer.vocab_size()];
    let mut worst: Vec<Document> = Vec::new();
    let mut documents = 0;
    for entry in manifest.in_order() {
        for output in &entry.outputs {
            read(&ctx.stage_dir.absolute(&output.path), &tokenizer, |document, ids| {
                documents += 1;
                for id in ids {
                    // An id beyond the vocabulary would be an error of `shard`; here it is only not counted.
                    let Some(used) = uses.get_mut(*id as usize) else { continue };
                    used.count += 1;
                    used.documents += u32::from(used.last != documents);
                    used.last = documents;
                }
                if document.bytes >= MIN_BYTES {
                    worst.push(document);
                }
            })?;
            worst.sort_by(|a, b| a.bytes_per_token().total_cmp(&b.bytes_per_token()).then_with(|| a.id.cmp(&b.id)));
            worst.truncate(show);
        }
    }
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{documents} documents");
    for line in encode::summary(&manifest.summary().counts) {
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(out, "\nworst-compressed documents of {MIN_BYTES} bytes or more:");
    for document in &worst {
        let Document { id, language, source, bytes, tokens } = document;
        let _ =
            writeln!(out, "  {:.2} bytes per token: {id} {language} {source}, {bytes} bytes, {tokens} tokens", document.bytes_per_token());
    }
    tokens(&mut out, &tokenizer, &uses, show);
    Ok(out)
}

/// The lists of tokens.
fn tokens(out: &mut String, tokenizer: &Tokenizer, uses: &[Use], show: usize) {
    let ids =
        || (0..uses.len() as u32).filter(|id| !tokenizer.is_special(*id)).map(|id| (id, uses[id as usize], tokenizer.token_bytes(id)));
    let whole = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
    let mut list = |what: &str, mut found: Vec<(u32, Use, Vec<u8>)>| {
        found.sort_by_key(|(id, used, _)| (std::cmp::Reverse(used.count), *id));
        let shown: Vec<String> =
            found.iter().take(show).map(|(id, used, bytes)| format!("{id} {} ×{}", spelled(bytes), used.count)).collect();
        let more = if found.len() > show && show > 0 { ", …" } else { "" };
        let _ = writeln!(
            out,
            "\n{}: {} of {} tokens{}{}{more}",
            what,
            found.len(),
            ids().count(),
            if found.is_empty() || show == 0 { "" } else { "\n  " },
            shown.join(", ")
        );
    };
    // A token of one byte is needed for text that nobody has seen yet.
    list("used nowhere", ids().filter(|(_, used, bytes)| used.count == 0 && bytes.len() > 1).collect());
    list(
        "in a single document only",
        ids().filter(|(_, used, bytes)| used.documents == 1 && used.count >= MIN_IN_ONE && bytes.len() > 1).collect(),
    );
    list("of control or replacement characters", ids().filter(|(_, _, bytes)| bytes.len() > 1 && is_garbage(bytes)).collect());
    list("not whole characters", ids().filter(|(_, _, bytes)| bytes.len() > 1 && !whole(bytes)).collect());
}

/// Whether a token holds characters that text should not have.
fn is_garbage(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        || std::str::from_utf8(bytes).is_ok_and(|text| text.contains('\u{FFFD}'))
}

/// The text of a token, or its bytes where they are no text.
fn spelled(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("{text:?}"),
        Err(_) => bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" "),
    }
}

/// Calls `take` with every document of a shard and its ids, begin and end tokens left out.
fn read(path: &std::path::Path, tokenizer: &Tokenizer, mut take: impl FnMut(Document, &[u32])) -> Result<(), Error> {
    let reader = ShardReader::open(path, &schema::tokens(TokenWidth::for_vocab(tokenizer.padded_vocab_size())))?;
    let begins = usize::from(reader.metadata().contains_key("bos_token_id"));
    for batch in reader.batches(BATCH_ROWS)? {
        let batch = batch?;
        let (ids, languages) = (columns::strings(&batch, "document_id")?, columns::strings(&batch, "language")?);
        let (sources, bytes) = (columns::strings(&batch, "source")?, columns::i64s(&batch, "num_bytes")?);
        for (row, tokens) in columns::token_rows(&batch, "input_ids")?.iter().enumerate() {
            let text = tokens.get(begins..tokens.len().saturating_sub(1)).unwrap_or_default();
            let document = Document {
                id: ids.value(row).into(),
                language: languages.value(row).into(),
                source: sources.value(row).into(),
                bytes: bytes.value(row),
                tokens: text.len(),
            };
            take(document, text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_told_from_text() {
        for good in ["the", " 中", "\r\n", "\t\t", "é"] {
            assert!(!is_garbage(good.as_bytes()), "{good:?}");
        }
        assert!(is_garbage("\u{0}a".as_bytes()) && is_garbage("\u{fffd}".as_bytes()));
        assert!(!is_garbage(&"中".as_bytes()[..2]), "a part of a character is no garbage");
        assert_eq!((spelled(b" a").as_str(), spelled(&[0xE4, 0xB8]).as_str()), ("\" a\"", "E4 B8"));
    }
}
