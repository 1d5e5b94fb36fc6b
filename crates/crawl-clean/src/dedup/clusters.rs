//! Sizes of clusters of duplicates: a side table that is written anew when it changes, so that committed shards never have to be.

use crate::NAME;
use crate::error::Error;
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use handoff::{Digest, Manifest, ShardMeta, ShardReader, ShardWriter, TableSchema, columns, schema};
use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::Arc;

/// Name of the side folder; it holds one file.
pub const FOLDER: &str = "clusters";

/// The side table `clusters`: every kept document that has duplicates, by id.
///
/// | column | Arrow type | meaning |
/// | --- | --- | --- |
/// | `document_id` | utf8 | the document that was kept |
/// | `size` | int64 | documents in its cluster: itself, its duplicates and theirs |
#[must_use]
pub fn cluster_schema() -> TableSchema {
    let fields = vec![Field::new("document_id", DataType::Utf8, false), Field::new("size", DataType::Int64, false)];
    TableSchema { name: "clusters", version: 1, arrow: Arc::new(Schema::new(fields)) }
}

/// What a duplicate takes in memory here, about.
const BYTES_PER_DUPLICATE: u64 = 100;

/// Writes the table if the stage's output has changed since it was written. Where it would take more than `memory_bytes`, it is
/// removed with a warning instead.
///
/// # Errors
/// If rejected rows cannot be read, or the disk refuses.
pub fn write(manifest: &Manifest, memory_bytes: u64) -> Result<(), Error> {
    let dir = manifest.dir();
    let path = dir.side_shard(FOLDER, 0);
    let summary = manifest.summary();
    let basis = summary.digest.to_string();
    if ShardReader::open(&path, &cluster_schema()).is_ok_and(|reader| reader.metadata().get("basis") == Some(&basis)) {
        return Ok(());
    }
    let duplicates = ["duplicate_exact", "duplicate_near", "duplicate_url"];
    let count: u64 = duplicates.iter().filter_map(|reason| summary.counts.get(&format!("rejected.{reason}"))).sum();
    if count * BYTES_PER_DUPLICATE > memory_bytes {
        tracing::warn!(duplicates = count, "no table of cluster sizes: it would take more memory than allowed (max_memory_mb)");
        return if path.exists() { std::fs::remove_file(&path).map_err(Error::read(&path)) } else { Ok(()) };
    }
    // Keepers come before their duplicates, so one pass in ingest order finds every root.
    let mut roots: HashMap<Digest, Digest> = HashMap::new();
    let mut sizes: BTreeMap<Digest, i64> = BTreeMap::new();
    for unit in manifest.in_order() {
        for file in &unit.rejected {
            let reader = ShardReader::open(&dir.absolute(&file.path), &schema::rejected())?;
            for batch in reader.batches_of(8192, &["id", "duplicate_of"])? {
                let batch = batch?;
                let (ids, keepers) = (columns::strings(&batch, "id")?, columns::strings(&batch, "duplicate_of")?);
                for i in (0..batch.num_rows()).filter(|&i| keepers.is_valid(i)) {
                    let (Ok(id), Ok(keeper)) = (Digest::from_str(ids.value(i)), Digest::from_str(keepers.value(i))) else { continue };
                    let root = roots.get(&keeper).copied().unwrap_or(keeper);
                    // Copies of one page under one address have one id, that of the copy which was kept.
                    if id != root {
                        roots.entry(id).or_insert(root);
                    }
                    *sizes.entry(root).or_insert(1) += 1;
                }
            }
        }
    }
    let meta = ShardMeta { stage: NAME.to_owned(), config_digest: String::new(), extra: BTreeMap::from([("basis".to_owned(), basis)]) };
    let mut writer = ShardWriter::create(&path, &cluster_schema(), &meta)?;
    let rows: Vec<(Digest, i64)> = sizes.into_iter().collect();
    for rows in rows.chunks(4096) {
        let ids: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|(id, _)| id.to_string())));
        let sizes: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, size)| *size)));
        writer.write(&RecordBatch::try_new(cluster_schema().arrow, vec![ids, sizes])?)?;
    }
    writer.finish(dir)?;
    Ok(())
}
