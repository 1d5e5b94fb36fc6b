//! The side table `signatures`: what duplicates of every document are found by, kept for the inputs to come.

use super::Signature;
use crate::config::DedupConfig;
use crate::error::Error;
use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryBuilder, ListBuilder, PrimitiveBuilder, RecordBatch, StringArray, UInt64Array,
};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, Schema, UInt32Type, UInt64Type};
use handoff::{ShardReader, TableSchema, schema::list_item};
use std::path::Path;
use std::sync::Arc;

/// Name of the side folder.
pub const FOLDER: &str = "signatures";

/// The columns, in order, of documents that reached deduplication.
///
/// | column | Arrow type | there with | meaning |
/// | --- | --- | --- | --- |
/// | `document_id` | utf8 | | the document |
/// | `text_digest` | fixed_size_binary(16) | | digest of its normalised text |
/// | `band_keys` | list\<uint64\> | | one key a band, none if near duplicates are not looked for |
/// | `url_key` | uint64? | `urls` | hash of its normalised address |
/// | `sketch` | list\<uint32\> | `verify_jaccard` | least distinct shingle hashes |
/// | `line_numbers`, `line_keys` | list\<uint32\>, list\<uint64\> | `remove_lines` | its lines |
/// | `span_numbers`, `span_keys` | list\<uint32\>, list\<uint64\> | `remove_spans` | its long runs, by their first unit |
/// | `sentence_numbers`, `sentence_keys` | list\<uint32\>, list\<uint64\> | `remove_spans` | the sentences of a text with such runs, by their first unit |
#[must_use]
pub fn signature_schema(config: &DedupConfig) -> TableSchema {
    let list = |name: &str, item: DataType| Field::new(name, DataType::List(list_item(item)), false);
    let mut fields = vec![
        Field::new("document_id", DataType::Utf8, false),
        Field::new("text_digest", DataType::FixedSizeBinary(16), false),
        list("band_keys", DataType::UInt64),
    ];
    if config.urls {
        fields.push(Field::new("url_key", DataType::UInt64, true));
    }
    if config.verify_jaccard > 0.0 {
        fields.push(list("sketch", DataType::UInt32));
    }
    for (name, wanted) in [("line", config.remove_lines), ("span", config.remove_spans), ("sentence", config.remove_spans)] {
        if wanted {
            fields.push(list(&format!("{name}_numbers"), DataType::UInt32));
            fields.push(list(&format!("{name}_keys"), DataType::UInt64));
        }
    }
    TableSchema { name: "signatures", version: 2, arrow: Arc::new(Schema::new(fields)) }
}

fn lists<T: ArrowPrimitiveType>(rows: &[(String, Signature)], get: impl Fn(&Signature, &mut Vec<T::Native>)) -> ArrayRef {
    let mut builder = ListBuilder::new(PrimitiveBuilder::<T>::new()).with_field(list_item(T::DATA_TYPE));
    let mut values = Vec::new();
    for (_, signature) in rows {
        values.clear();
        get(signature, &mut values);
        builder.values().append_slice(&values);
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// Signatures as a batch.
///
/// # Errors
/// If the columns do not fit the schema.
pub fn batch(rows: &[(String, Signature)], config: &DedupConfig) -> Result<RecordBatch, Error> {
    let mut digests = FixedSizeBinaryBuilder::with_capacity(rows.len(), 16);
    for (_, signature) in rows {
        digests.append_value(signature.exact)?;
    }
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(id, _)| id))),
        Arc::new(digests.finish()),
        lists::<UInt64Type>(rows, |signature, out| out.extend(&signature.bands)),
    ];
    if config.urls {
        columns.push(Arc::new(rows.iter().map(|(_, signature)| signature.url).collect::<UInt64Array>()));
    }
    if config.verify_jaccard > 0.0 {
        columns.push(lists::<UInt32Type>(rows, |signature, out| out.extend(&signature.sketch)));
    }
    type Numbered = fn(&Signature) -> &[(u32, u64)];
    let kinds: [(bool, Numbered); 3] = [
        (config.remove_lines, |signature| &signature.lines),
        (config.remove_spans, |signature| &signature.spans),
        (config.remove_spans, |signature| &signature.sentences),
    ];
    for (_, get) in kinds.iter().filter(|(wanted, _)| *wanted) {
        columns.push(lists::<UInt32Type>(rows, |signature, out| out.extend(get(signature).iter().map(|(number, _)| number))));
        columns.push(lists::<UInt64Type>(rows, |signature, out| out.extend(get(signature).iter().map(|(_, hash)| hash))));
    }
    Ok(RecordBatch::try_new(signature_schema(config).arrow, columns)?)
}

/// Reads a side table back; `each` gets the rows in order.
///
/// # Errors
/// If the file is missing, damaged, or has another number of rows than `expected`.
pub fn read(
    path: &Path,
    config: &DedupConfig,
    expected: u64,
    mut each: impl FnMut(&str, &Signature) -> Result<(), Error>,
) -> Result<(), Error> {
    let problem = |problem: String| Error::Signatures { path: path.to_owned(), problem };
    let schema = signature_schema(config);
    let reader = ShardReader::open(path, &schema)?;
    if reader.rows() != expected {
        return Err(problem(format!("{} rows, the manifest says {expected}", reader.rows())));
    }
    for batch in reader.batches(4096)? {
        let batch = batch?;
        let ids = handoff::columns::strings(&batch, "document_id")?;
        let (long, short) = (|name: &str, i| items::<UInt64Type>(&batch, name, i), |name: &str, i| items::<UInt32Type>(&batch, name, i));
        let digests = batch.column_by_name("text_digest").and_then(|column| column.as_fixed_size_binary_opt());
        let digests = digests.ok_or_else(|| problem("column `text_digest` of another type".into()))?;
        let urls = batch.column_by_name("url_key").and_then(|column| column.as_primitive_opt::<UInt64Type>());
        for i in 0..batch.num_rows() {
            let numbered = |name: &str| short(&format!("{name}_numbers"), i).into_iter().zip(long(&format!("{name}_keys"), i)).collect();
            let mut signature = Signature {
                bands: long("band_keys", i),
                url: urls.filter(|urls| urls.is_valid(i)).map(|urls| urls.value(i)),
                sketch: short("sketch", i),
                lines: numbered("line"),
                spans: numbered("span"),
                sentences: numbered("sentence"),
                ..Signature::default()
            };
            signature.exact.copy_from_slice(digests.value(i));
            each(ids.value(i), &signature)?;
        }
    }
    Ok(())
}

/// Items of row `i` of a list column; none if there is no such column.
fn items<T: ArrowPrimitiveType>(batch: &RecordBatch, name: &str, i: usize) -> Vec<T::Native> {
    let Some(lists) = batch.column_by_name(name).and_then(|column| column.as_list_opt::<i32>()) else { return Vec::new() };
    lists.value(i).as_primitive_opt::<T>().map(|values| values.values().to_vec()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::defaults;
    use handoff::{RunDir, ShardMeta, ShardWriter};

    #[test]
    fn signatures_survive() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("crawl-clean");
        let path = stage.side_shard(FOLDER, 0);
        let full = Signature {
            exact: [7; 16],
            bands: vec![1, u64::MAX],
            url: Some(3),
            sketch: vec![4, 5],
            lines: vec![(0, 6)],
            spans: vec![(9, 8), (11, 2)],
            sentences: vec![(3, 1)],
        };
        let bare = Signature { exact: [8; 16], ..Signature::default() };
        let every = DedupConfig { urls: true, verify_jaccard: 0.5, remove_lines: true, remove_spans: true, ..defaults().dedup };
        let plain = Signature { url: None, sketch: vec![], lines: vec![], spans: vec![], sentences: vec![], ..full.clone() };
        for (config, want) in [(every, full.clone()), (defaults().dedup, plain)] {
            let rows = vec![("a".to_owned(), full.clone()), ("b".to_owned(), bare.clone())];
            let mut writer = ShardWriter::create(&path, &signature_schema(&config), &ShardMeta::default()).unwrap();
            writer.write(&batch(&rows, &config).unwrap()).unwrap();
            writer.finish(&stage).unwrap();
            let mut got = Vec::new();
            read(&path, &config, 2, |id, signature| {
                got.push((id.to_owned(), signature.clone()));
                Ok(())
            })
            .unwrap();
            assert_eq!(got, [("a".to_owned(), want), ("b".to_owned(), bare.clone())]);
            assert!(read(&path, &config, 3, |_, _| Ok(())).is_err());
        }
    }
}
