//! Reading conversations: shards of a stage, or files of the user's own.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::{Array, ListArray, RecordBatch, StringArray, StructArray};
use handoff::{Digest, DigestCache, ShardReader, Upstream, columns, schema};
use serde::Deserialize;
use stage::{InputRef, StageContext};
use text::Message;
use train::lineage::DataBatch;

use crate::error::Error;

/// One conversation as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    /// Its id, or file and line where it has none.
    pub(crate) id: String,
    /// The document it was drawn from; its own id where it has none.
    pub(crate) document: String,
    /// Its turns, or why there are none.
    pub(crate) messages: Result<Vec<Message>, String>,
    /// File it comes from.
    pub(crate) source: String,
}

/// A file of conversations.
#[derive(Debug, Clone)]
pub(crate) struct PairFile {
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
    /// Files of one batch arrived together.
    pub(crate) batch: u32,
}

/// The files that `pairs` names, in ingest order, and what to watch.
pub(crate) fn find(ctx: &StageContext, text: &str) -> Result<(Vec<PairFile>, PathBuf), Error> {
    match ctx.resolve(text) {
        InputRef::Stage(name) => {
            let upstream = Upstream::open(&ctx.run, &name, schema::pairs().name)?;
            let file = |s: &handoff::UpstreamShard| PairFile { path: s.path.clone(), digest: s.digest, bytes: s.bytes, batch: s.batch };
            Ok((upstream.shards().iter().map(file).collect(), upstream.dir().manifest_dir()))
        }
        InputRef::Path(path) => {
            let mut paths = if path.is_dir() { list(&path)? } else { vec![path.clone()] };
            paths.retain(|p| is_pairs_file(p) && p.is_file());
            if paths.is_empty() {
                return Err(Error::NoFiles { path });
            }
            paths.sort();
            let mut cache = DigestCache::open(&ctx.run);
            let mut files = Vec::new();
            for (batch, file) in (0..).zip(paths) {
                let digest = cache.digest(&file)?;
                let bytes = fs::metadata(&file).map_err(read_error(&file))?.len();
                files.push(PairFile { path: file, digest, bytes, batch });
            }
            cache.save()?;
            Ok((files, path))
        }
    }
}

fn read_error(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Read { path, source }
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(dir).map_err(read_error(dir))?;
    entries.map(|entry| Ok(entry.map_err(read_error(dir))?.path())).collect()
}

fn is_pairs_file(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "parquet" || e == "jsonl")
}

/// The batches of files, with no rows counted yet.
pub(crate) fn batches(files: &[PairFile]) -> Vec<DataBatch> {
    files.chunk_by(|a, b| a.batch == b.batch).map(|group| DataBatch::new(group.iter().map(|f| &f.digest), 0)).collect()
}

/// Reads every conversation of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<Pair>, Error> {
    if path.extension().is_some_and(|e| e == "jsonl") { read_jsonl(path) } else { read_parquet(path) }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

#[derive(Deserialize)]
struct Line {
    id: Option<String>,
    source_document_id: Option<String>,
    messages: Vec<Message>,
}

fn read_jsonl(path: &Path) -> Result<Vec<Pair>, Error> {
    let bytes = fs::read(path).map_err(read_error(path))?;
    let source = file_name(path);
    let lines = bytes.split(|&b| b == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    let pair = |(number, line): (usize, &[u8])| {
        let place = format!("{source}:{}", number + 1);
        match serde_json::from_slice::<Line>(line) {
            Ok(line) => {
                let id = line.id.unwrap_or(place);
                Pair {
                    document: line.source_document_id.unwrap_or_else(|| id.clone()),
                    id,
                    messages: Ok(line.messages),
                    source: source.clone(),
                }
            }
            Err(e) => Pair { document: place.clone(), id: place, messages: Err(e.to_string()), source: source.clone() },
        }
    };
    Ok(lines.map(pair).collect())
}

fn read_parquet(path: &Path) -> Result<Vec<Pair>, Error> {
    let reader = ShardReader::open_any(path)?;
    // A file that says it is ours must be of the right table and version; any other needs the column only.
    let reader = if reader.table_name().is_some() { ShardReader::open(path, &schema::pairs())? } else { reader };
    let mut pairs = Vec::new();
    for batch in reader.batches(4096)? {
        let batch = batch?;
        let messages = columns::lists(&batch, "messages").map_err(|_| Error::Messages { path: path.into() })?;
        let (ids, documents) = (optional(&batch, "id"), optional(&batch, "source_document_id"));
        for row in 0..batch.num_rows() {
            let id = ids.map_or_else(|| format!("{}:{}", file_name(path), pairs.len()), |ids| ids.value(row).to_owned());
            let document = documents.map_or_else(|| id.clone(), |d| d.value(row).to_owned());
            let messages = Ok(turns(messages, row).ok_or_else(|| Error::Messages { path: path.into() })?);
            pairs.push(Pair { id, document, messages, source: file_name(path) });
        }
    }
    Ok(pairs)
}

fn optional<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a StringArray> {
    columns::strings(batch, name).ok()
}

fn turns(messages: &ListArray, row: usize) -> Option<Vec<Message>> {
    let values = messages.value(row);
    let turns = values.as_any().downcast_ref::<StructArray>()?;
    let field = |name: &str| turns.column_by_name(name)?.as_any().downcast_ref::<StringArray>();
    let (roles, contents) = (field("role")?, field("content")?);
    Some((0..turns.len()).map(|i| Message::new(roles.value(i), contents.value(i))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jsonl_lines_are_read_and_broken_ones_keep_their_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        let good = r#"{"id":"x","source_document_id":"d","messages":[{"role":"user","content":"中国的首都?"},{"role":"assistant","content":"北京"}]}"#;
        fs::write(&path, format!("{good}\n\n{{\"messages\": 3}}\nnot json\n{{\"messages\":[]}}\n")).unwrap();
        let pairs = read(&path).unwrap();
        assert_eq!(pairs.len(), 4);
        assert_eq!((pairs[0].id.as_str(), pairs[0].document.as_str()), ("x", "d"));
        assert_eq!(pairs[0].messages.as_ref().unwrap()[1].content, "北京");
        assert!(pairs[1].messages.is_err() && pairs[2].messages.is_err());
        assert_eq!(pairs[3].id, "a.jsonl:5");
    }
}
