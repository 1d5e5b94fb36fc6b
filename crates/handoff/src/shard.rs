//! Parquet shards: written whole or not at all, read with their schema checked.
//!
//! Every shard is zstd-compressed and carries in its key-value metadata `schema`, `schema_version`, `stage` and
//! `config_digest`, and whatever the stage adds. DuckDB, pyarrow, polars and parquet-cli open it without our help.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::digest::HashedFile;
use crate::id_column::{self, GroupWriter, IdReader};
use crate::{Digest, Error, OutputFile, Result, StageDir, TableSchema, atomic};

/// zstd level of every shard: 3 is zstd's own default, a good trade of time for size on text.
pub const ZSTD_LEVEL: i32 = 3;

/// zstd level of all other columns where token ids are stored byte by byte: names and numbers are little beside the ids.
const ZSTD_LEVEL_BESIDE_IDS: i32 = 1;

/// Rows of a row group unless the writer says otherwise: small enough to read a group at random, large enough to compress.
pub const DEFAULT_ROW_GROUP_ROWS: usize = 8192;

/// What goes into a shard's key-value metadata besides the schema.
#[derive(Debug, Clone, Default)]
pub struct ShardMeta {
    /// Stage that writes it.
    pub stage: String,
    /// Digest of the configuration it was written with.
    pub config_digest: String,
    /// Further keys, such as `tokenizer_digest`.
    pub extra: BTreeMap<String, String>,
}

#[derive(Debug)]
enum Inner {
    Arrow(Box<ArrowWriter<HashedFile>>),
    /// With columns of token ids stored byte by byte.
    Groups(Box<GroupWriter>),
}

/// Writes one shard under a temporary name; [`ShardWriter::finish`] gives it its own.
#[derive(Debug)]
pub struct ShardWriter {
    writer: Option<Inner>,
    temporary: PathBuf,
    path: PathBuf,
    table: TableSchema,
    rows: u64,
}

impl ShardWriter {
    /// Opens a shard with row groups of [`DEFAULT_ROW_GROUP_ROWS`].
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path, table: &TableSchema, meta: &ShardMeta) -> Result<Self> {
        Self::with_row_group_rows(path, table, meta, DEFAULT_ROW_GROUP_ROWS)
    }

    /// Opens a shard whose row groups hold `rows` rows.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn with_row_group_rows(path: &Path, table: &TableSchema, meta: &ShardMeta, rows: usize) -> Result<Self> {
        Self::open(path, table, meta, rows, false)
    }

    /// Opens a shard whose row groups hold `rows` rows and in which the lists of token ids are stored byte by byte
    /// (`BYTE_STREAM_SPLIT`: all lowest bytes, then all second bytes, and so on) instead of through a dictionary: smaller, and several
    /// times as fast to write and to read.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn with_split_ids(path: &Path, table: &TableSchema, meta: &ShardMeta, rows: usize) -> Result<Self> {
        Self::open(path, table, meta, rows, true)
    }

    fn open(path: &Path, table: &TableSchema, meta: &ShardMeta, rows: usize, split: bool) -> Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        }
        let pair = |k: &str, v: &str| KeyValue::new(k.to_owned(), v.to_owned());
        let mut metadata = vec![
            pair("schema", table.name),
            pair("schema_version", &table.version.to_string()),
            pair("stage", &meta.stage),
            pair("config_digest", &meta.config_digest),
        ];
        metadata.extend(meta.extra.iter().map(|(k, v)| pair(k, v)));
        let level = ZstdLevel::try_new(if split { ZSTD_LEVEL_BESIDE_IDS } else { ZSTD_LEVEL }).map_err(|source| Error::Parquet {
            action: "write",
            path: path.into(),
            source,
        })?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(rows.max(1)))
            .set_dictionary_enabled(!split)
            .set_key_value_metadata(Some(metadata))
            .set_created_by(format!("jielong {}", env!("CARGO_PKG_VERSION")))
            .build();
        let temporary = atomic::temporary_beside(path);
        let file = File::create(&temporary).map_err(Error::io("create", &temporary))?;
        let parquet_error = |source| Error::Parquet { action: "write", path: path.into(), source };
        let writer = ArrowWriter::try_new(HashedFile::new(file), table.arrow.clone(), Some(properties)).map_err(parquet_error)?;
        let ids: Vec<bool> = table.arrow.fields().iter().map(|field| split && id_column::holds_ids(field)).collect();
        let writer = if ids.contains(&true) {
            let parts = writer.into_serialized_writer().map_err(parquet_error)?;
            Inner::Groups(Box::new(GroupWriter::new(parts, table.arrow.clone(), ids, rows.max(1)).map_err(parquet_error)?))
        } else {
            Inner::Arrow(Box::new(writer))
        };
        Ok(Self { writer: Some(writer), temporary, path: path.into(), table: table.clone(), rows: 0 })
    }

    /// Appends a batch.
    ///
    /// # Errors
    /// When the batch has other columns than the table, or the disk refuses.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let parquet_error = |source| Error::Parquet { action: "write", path: self.path.clone(), source };
        if let Some(writer) = &mut self.writer {
            match writer {
                Inner::Arrow(writer) => writer.write(batch),
                Inner::Groups(writer) => writer.write(batch),
            }
            .map_err(parquet_error)?;
            self.rows += batch.num_rows() as u64;
        }
        Ok(())
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Closes, syncs and renames the file; `dir` makes the recorded path relative.
    ///
    /// # Errors
    /// When the file cannot be completed; then no file of the final name appears.
    pub fn finish(mut self, dir: &StageDir) -> Result<OutputFile> {
        let (digest, bytes) = if let Some(writer) = self.writer.take() {
            let parquet_error = |source| Error::Parquet { action: "write", path: self.path.clone(), source };
            let file = match writer {
                Inner::Arrow(writer) => writer.into_inner(),
                Inner::Groups(writer) => writer.into_inner(),
            }
            .map_err(parquet_error)?;
            file.finish().map_err(Error::io("write", &self.path))?
        } else {
            (Digest::of_bytes(&[]), 0)
        };
        atomic::rename(&self.temporary, &self.path)?;
        Ok(OutputFile {
            path: dir.relative(&self.path),
            schema: self.table.name.to_owned(),
            schema_version: self.table.version,
            rows: self.rows,
            bytes,
            digest,
        })
    }
}

impl Drop for ShardWriter {
    fn drop(&mut self) {
        // After `finish` the temporary name is gone and this does nothing.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// An opened shard whose schema name, version and columns are those expected.
#[derive(Debug)]
pub struct ShardReader {
    path: PathBuf,
    file: File,
    metadata: ArrowReaderMetadata,
    keys: BTreeMap<String, String>,
}

impl ShardReader {
    /// Opens a shard and checks that it is one of `table`.
    ///
    /// # Errors
    /// [`Error::NotParquet`] for a truncated or other file, [`Error::ForeignFile`] for Parquet without our metadata,
    /// [`Error::WrongSchema`], [`Error::WrongVersion`] and [`Error::WrongColumn`] as their names say.
    pub fn open(path: &Path, table: &TableSchema) -> Result<Self> {
        let reader = Self::open_any(path)?;
        let key = |k: &str| reader.keys.get(k).cloned().unwrap_or_default();
        if !reader.keys.contains_key("schema") {
            return Err(Error::ForeignFile { path: path.into() });
        }
        if key("schema") != table.name {
            return Err(Error::WrongSchema { path: path.into(), expected: table.name.into(), got: key("schema") });
        }
        if key("schema_version") != table.version.to_string() {
            return Err(Error::WrongVersion {
                path: path.into(),
                table: table.name.into(),
                expected: table.version,
                got: key("schema_version"),
            });
        }
        let found = reader.metadata.schema();
        for field in table.arrow.fields() {
            let got = found.field_with_name(field.name()).map(|f| f.data_type().clone());
            // What may be null in every row may be left out of a file that others wrote; whoever reads it says so.
            if got.is_err() && field.is_nullable() {
                continue;
            }
            if !got.as_ref().is_ok_and(|got| same_type(got, field.data_type())) {
                return Err(Error::WrongColumn {
                    path: path.into(),
                    column: field.name().clone(),
                    expected: field.data_type().to_string(),
                    got: got.map_or_else(|_| "absent".into(), |t| t.to_string()),
                });
            }
        }
        Ok(reader)
    }

    /// Opens any Parquet file, ours or not.
    ///
    /// # Errors
    /// When the file cannot be opened or is no Parquet.
    pub fn open_any(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
            .map_err(|source| Error::NotParquet { path: path.into(), source })?;
        let keys = metadata.metadata().file_metadata().key_value_metadata();
        let keys = keys.into_iter().flatten().map(|kv| (kv.key.clone(), kv.value.clone().unwrap_or_default())).collect();
        Ok(Self { path: path.into(), file, metadata, keys })
    }

    /// The table a file says it holds, such as `tokens`, if any.
    pub fn table_name(&self) -> Option<&str> {
        self.keys.get("schema").map(String::as_str)
    }

    /// The file's key-value metadata.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.keys
    }

    /// The file's Arrow schema.
    pub fn schema(&self) -> &arrow::datatypes::SchemaRef {
        self.metadata.schema()
    }

    /// Rows in the file.
    pub fn rows(&self) -> u64 {
        self.metadata.metadata().file_metadata().num_rows().max(0) as u64
    }

    /// Values of a column, by its name: of a list column all items (and one for each empty list).
    pub fn num_values(&self, column: &str) -> u64 {
        let groups = self.metadata.metadata().row_groups().iter();
        let columns = groups.flat_map(|group| group.columns());
        let named = columns.filter(|c| c.column_path().parts().first().is_some_and(|first| first == column));
        named.map(|c| c.num_values().max(0) as u64).sum()
    }

    /// How many rows to read at a time, at most `most`, so that their values of a column take about `bytes`: by the mean of the row
    /// group whose rows are the largest.
    pub fn rows_within(&self, bytes: u64, column: &str, most: usize) -> usize {
        let groups = self.metadata.metadata().row_groups().iter();
        let mean = groups.filter(|group| group.num_rows() > 0).map(|group| {
            let named = group.columns().iter().filter(|c| c.column_path().parts().first().is_some_and(|first| first == column));
            let bytes: i64 = named.map(|c| c.uncompressed_size()).sum();
            (bytes.max(0) as u64).div_ceil(group.num_rows() as u64)
        });
        (bytes / mean.max().unwrap_or(1).max(1)).clamp(1, most.max(1) as u64) as usize
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Streams the file in batches of at most `batch_rows` rows, all columns.
    ///
    /// # Errors
    /// When the reader cannot be built; each item may also fail on damaged pages.
    pub fn batches(&self, batch_rows: usize) -> Result<Batches> {
        self.build(batch_rows, None)
    }

    /// Like [`ShardReader::batches`], decoding only the named columns.
    ///
    /// # Errors
    /// As [`ShardReader::batches`].
    pub fn batches_of(&self, batch_rows: usize, columns: &[&str]) -> Result<Batches> {
        self.build(batch_rows, Some(columns))
    }

    fn build(&self, batch_rows: usize, columns: Option<&[&str]>) -> Result<Batches> {
        let file = self.file.try_clone().map_err(Error::io("open", &self.path))?;
        let shared = Arc::new(self.file.try_clone().map_err(Error::io("open", &self.path))?);
        let fields = self.metadata.schema().fields();
        let wanted = |name: &str| columns.is_none_or(|columns| columns.contains(&name));
        let chosen: Vec<usize> = (0..fields.len()).filter(|&at| wanted(fields[at].name())).collect();
        let (mut ids, mut others) = (Vec::new(), Vec::new());
        for (place, &at) in chosen.iter().enumerate() {
            match IdReader::new(&shared, &self.metadata, at, place) {
                Some(reader) => ids.push(reader),
                None => others.push(at),
            }
        }
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone()).with_batch_size(batch_rows.max(1));
        let mask = parquet::arrow::ProjectionMask::roots(builder.parquet_schema(), others);
        let inner = builder.with_projection(mask).build();
        let inner = inner.map_err(|source| Error::Parquet { action: "read", path: self.path.clone(), source })?;
        let schema = Arc::new(self.metadata.schema().project(&chosen).map_err(|source| Error::Arrow {
            action: "read",
            path: self.path.clone(),
            source,
        })?);
        Ok(Batches { inner, ids, schema, path: self.path.clone() })
    }
}

/// Whether two types are the same, whatever the items of a list are called: `item` to Arrow, `element` to Parquet and many a writer.
fn same_type(got: &DataType, wanted: &DataType) -> bool {
    match (got, wanted) {
        (DataType::List(got), DataType::List(wanted)) => same_type(got.data_type(), wanted.data_type()),
        (DataType::Struct(got), DataType::Struct(wanted)) => {
            let same =
                |(got, wanted): (&FieldRef, &FieldRef)| got.name() == wanted.name() && same_type(got.data_type(), wanted.data_type());
            got.len() == wanted.len() && got.iter().zip(wanted).all(same)
        }
        _ => got == wanted,
    }
}

/// Metadata of shards that are read together: the first one's, with which all others must agree.
#[derive(Debug)]
pub struct SharedMetadata {
    keys: &'static [&'static str],
    first: Option<(PathBuf, BTreeMap<String, String>)>,
}

impl SharedMetadata {
    /// Of no shard yet; `keys` are those that must agree, or be absent in all.
    pub fn new(keys: &'static [&'static str]) -> Self {
        Self { keys, first: None }
    }

    /// Adds a shard.
    ///
    /// # Errors
    /// [`Error::MixedShards`] when it differs in a key.
    pub fn add(&mut self, reader: &ShardReader) -> Result<()> {
        let Some((path, first)) = &self.first else {
            self.first = Some((reader.path.clone(), reader.keys.clone()));
            return Ok(());
        };
        let Some(key) = self.keys.iter().find(|key| first.get(**key) != reader.keys.get(**key)) else { return Ok(()) };
        let value = |keys: &BTreeMap<String, String>| keys.get(*key).cloned().unwrap_or_else(|| "absent".into());
        let (value_a, value_b) = (value(first), value(&reader.keys));
        Err(Error::MixedShards { key, shard_a: path.clone(), value_a, shard_b: reader.path.clone(), value_b })
    }

    /// A key of the first shard's metadata.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.first.as_ref()?.1.get(key).map(String::as_str)
    }

    /// The first shard.
    pub fn path(&self) -> Option<&Path> {
        self.first.as_ref().map(|(path, _)| path.as_path())
    }
}

/// Batches of a shard, in order.
#[derive(Debug)]
pub struct Batches {
    /// All columns but those below.
    inner: ParquetRecordBatchReader,
    ids: Vec<IdReader>,
    schema: SchemaRef,
    path: PathBuf,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.inner.next()?;
        let batch = batch.map_err(|source| Error::Arrow { action: "read", path: self.path.clone(), source });
        if self.ids.is_empty() {
            return Some(batch);
        }
        let parquet_error = |source| Error::Parquet { action: "read", path: self.path.clone(), source };
        Some(batch.and_then(|batch| id_column::join(&batch, &mut self.ids, &self.schema).map_err(parquet_error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RunDir, columns, schema};
    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::{Field, Schema};

    fn rejected_batch(n: usize) -> RecordBatch {
        let s = |v: &str| Arc::new(StringArray::from(vec![v; n])) as ArrayRef;
        let none_f: ArrayRef = Arc::new(Float64Array::from(vec![None::<f64>; n]));
        let none_s: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>; n]));
        let none_i: ArrayRef = Arc::new(Int64Array::from(vec![None::<i64>; n]));
        let columns = vec![s("id"), s("url"), s("stage"), s("太短"), none_f.clone(), none_f, none_s.clone(), none_s, s("a"), none_i];
        let table = schema::rejected();
        RecordBatch::try_new(table.arrow.clone(), columns::fill_up(columns, &table)).unwrap()
    }

    #[test]
    fn long_rows_are_read_a_few_at_a_time() {
        let run = tempfile::tempdir().unwrap();
        let dir = RunDir::new(run.path()).stage("test");
        let table =
            TableSchema { name: "texts", version: 1, arrow: Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, false)])) };
        let mut writer = ShardWriter::with_row_group_rows(&dir.data_shard(0), &table, &ShardMeta::default(), 100).unwrap();
        for long in [1, 20_000, 10] {
            let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..100).map(|n| format!("{n}{}", "x".repeat(long)))));
            writer.write(&RecordBatch::try_new(table.arrow.clone(), vec![texts]).unwrap()).unwrap();
        }
        writer.finish(&dir).unwrap();
        let reader = ShardReader::open(&dir.data_shard(0), &table).unwrap();
        assert_eq!(reader.rows_within(1 << 20, "text", 1024), (1 << 20) / 20_006);
        assert_eq!((reader.rows_within(1 << 30, "text", 1024), reader.rows_within(1, "text", 1024)), (1024, 1));
    }

    fn write_one(dir: &StageDir, rows: usize) -> OutputFile {
        let meta = ShardMeta { stage: "test".into(), config_digest: "d".into(), extra: [("k".to_owned(), "v".to_owned())].into() };
        let mut writer = ShardWriter::create(&dir.data_shard(0), &schema::rejected(), &meta).unwrap();
        writer.write(&rejected_batch(rows)).unwrap();
        writer.finish(dir).unwrap()
    }

    #[test]
    fn a_shard_reads_back_and_its_bytes_are_the_same_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("test");
        let out = write_one(&stage, 5);
        assert_eq!((out.rows, out.path.as_str()), (5, "data/00000.parquet"));
        let reader = ShardReader::open(&stage.data_shard(0), &schema::rejected()).unwrap();
        assert_eq!((reader.rows(), reader.metadata()["k"].as_str()), (5, "v"));
        assert_eq!((reader.num_values("reason"), reader.num_values("nothing")), (5, 0));
        let batch = reader.batches(3).unwrap().next().unwrap().unwrap();
        assert_eq!(columns::strings(&batch, "reason").unwrap().value(2), "太短");
        assert_eq!(write_one(&stage, 5).digest, out.digest);
    }

    #[test]
    fn each_bad_file_gets_its_own_error() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("test");
        write_one(&stage, 5);
        let path = stage.data_shard(0);
        let error = ShardReader::open(&path, &schema::documents()).unwrap_err();
        assert!(matches!(error, Error::WrongSchema { .. }), "{error}");
        let newer = TableSchema { version: 3, ..schema::rejected() };
        let error = ShardReader::open(&path, &newer).unwrap_err();
        assert!(error.to_string().contains("version 2") && error.to_string().contains("reads version 3"), "{error}");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(matches!(ShardReader::open(&path, &schema::rejected()).unwrap_err(), Error::NotParquet { .. }));
        fs::write(&path, "id,url\n").unwrap();
        assert!(matches!(ShardReader::open(&path, &schema::rejected()).unwrap_err(), Error::NotParquet { .. }));
        let foreign = ArrowWriter::try_new(File::create(&path).unwrap(), schema::rejected().arrow, None).unwrap();
        foreign.close().unwrap();
        assert!(matches!(ShardReader::open(&path, &schema::rejected()).unwrap_err(), Error::ForeignFile { .. }));
    }

    #[test]
    fn what_others_write_may_lack_columns_that_may_be_null_and_name_items_of_lists_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        let table = schema::documents();
        let write = |keep: &dyn Fn(&Field) -> bool| {
            let fields: Vec<Field> = table.arrow.fields().iter().map(|field| named_element(field)).filter(|field| keep(field)).collect();
            let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), Arc::new(Schema::new(fields)), None).unwrap();
            for (key, value) in [("schema", table.name.to_owned()), ("schema_version", table.version.to_string())] {
                writer.append_key_value_metadata(KeyValue::new(key.into(), value));
            }
            writer.close().unwrap();
            ShardReader::open(&path, &table)
        };
        assert_eq!(write(&|_| true).unwrap().rows(), 0);
        assert!(write(&|field| !field.is_nullable()).is_ok());
        let error = write(&|field| field.name() != "text").unwrap_err();
        assert!(matches!(&error, Error::WrongColumn { column, .. } if column == "text"), "{error}");
    }

    /// A field as pyarrow writes it.
    fn named_element(field: &Field) -> Field {
        let data_type = match field.data_type() {
            DataType::List(item) => DataType::List(Arc::new(named_element(item).with_name("element").with_nullable(true))),
            DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| named_element(field)).collect()),
            other => other.clone(),
        };
        Field::new(field.name(), data_type, field.is_nullable())
    }

    #[test]
    fn an_unfinished_shard_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let stage = RunDir::new(dir.path()).stage("test");
        let mut writer = ShardWriter::create(&stage.data_shard(0), &schema::rejected(), &ShardMeta::default()).unwrap();
        writer.write(&rejected_batch(2)).unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(stage.data()).unwrap().count(), 0);
    }
}
