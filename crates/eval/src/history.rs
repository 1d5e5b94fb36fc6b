//! The story of the run, read from what its stages left: manifests, metrics, weight files. For display only.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use handoff::{Manifest, RunDir, ShardReader, StageDir, columns, schema};
use serde_json::Value;

use crate::Error;
use crate::facts::{DataStage, Training};

/// Stages whose rows the report follows, in their order.
const DATA_STAGES: [&str; 4] = ["crawl-clean", "tokenize", "shard", "reverse-distill"];
/// Prefix of counts of refused rows in a manifest, followed by `.` or `_` and a reason.
const REJECTED: &str = "rejected";
/// So many counts of one prefix, such as `rule_`, are shown as their sum.
const MANY: usize = 6;

/// The data stages that have committed something.
///
/// # Errors
/// When a manifest or a shard of refused rows cannot be read.
pub fn data_stages(run: &RunDir) -> Result<Vec<DataStage>, Error> {
    let mut out = Vec::new();
    for name in DATA_STAGES {
        let dir = run.stage(name);
        let manifest = Manifest::load(&dir)?;
        if manifest.units().is_empty() {
            continue;
        }
        let summary = manifest.summary();
        let (refused, counts): (Vec<_>, Vec<_>) =
            summary.counts.iter().map(|(k, n)| (k.clone(), *n)).partition(|(k, _)| k.starts_with(REJECTED));
        let mut rejected = reasons(&dir, &manifest)?;
        if rejected.is_empty() {
            rejected = refused.into_iter().filter_map(|(k, n)| Some((k[REJECTED.len()..].get(1..)?.to_owned(), n))).collect();
        }
        let counts = grouped(counts);
        let mut rejected: Vec<_> = rejected.into_iter().filter(|r| r.1 > 0).collect();
        rejected.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        out.push(DataStage { name: name.into(), units: summary.units, kept: summary.rows, rejected, bytes: summary.bytes, counts });
    }
    Ok(out)
}

/// Reasons counted from the refused rows themselves.
fn reasons(dir: &StageDir, manifest: &Manifest) -> Result<BTreeMap<String, u64>, Error> {
    let mut out = BTreeMap::new();
    for unit in manifest.in_order() {
        for shard in &unit.rejected {
            if shard.schema != schema::rejected().name {
                continue;
            }
            for batch in ShardReader::open(&dir.absolute(&shard.path), &schema::rejected())?.batches_of(8192, &["reason"])? {
                for reason in columns::strings(&batch?, "reason")?.iter().flatten() {
                    *out.entry(reason.to_owned()).or_insert(0) += 1;
                }
            }
        }
    }
    Ok(out)
}

/// Counts with a common first word joined into one where there are many of them.
fn grouped(counts: Vec<(String, u64)>) -> Vec<(String, u64)> {
    let prefix = |key: &str| key.split(['.', '_']).next().unwrap_or_default().to_owned();
    let mut sizes: BTreeMap<String, (usize, u64)> = BTreeMap::new();
    for (key, n) in &counts {
        let entry = sizes.entry(prefix(key)).or_default();
        *entry = (entry.0 + 1, entry.1 + n);
    }
    let (many, mut out): (Vec<_>, Vec<_>) = counts.into_iter().partition(|(key, _)| sizes[&prefix(key)].0 >= MANY);
    let mut seen: Vec<String> = many.iter().map(|(key, _)| prefix(key)).collect();
    seen.dedup();
    out.extend(seen.into_iter().map(|p| (format!("{p} ({} kinds)", sizes[&p].0), sizes[&p].1)));
    out
}

/// Losses of a training stage or variant; `None` where it logged none.
pub fn training(run: &RunDir, reference: &str) -> Option<Training> {
    let text = fs::read_to_string(run.reference(reference).metrics_jsonl()).ok()?;
    let mut out = Training { stage: reference.to_owned(), ..Training::default() };
    // A half-written last line of a killed process is no reason to fail.
    for line in text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok()) {
        let Some(step) = line["step"].as_f64() else { continue };
        for (key, points) in [("train/loss", &mut out.train), ("validation/loss", &mut out.validation)] {
            if let Some(loss) = line[key].as_f64() {
                points.push((step, loss));
            }
        }
    }
    let samples = fs::read_to_string(run.reference(reference).samples_jsonl()).unwrap_or_default();
    for line in samples.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok()) {
        if let (Some(step), Some(prompt), Some(completion)) = (line["step"].as_u64(), line["prompt"].as_str(), line["completion"].as_str())
        {
            out.samples.push((step, prompt.to_owned(), completion.to_owned()));
        }
    }
    for points in [&mut out.train, &mut out.validation] {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    (!out.train.is_empty()).then_some(out)
}

/// Number of values in the safetensors files of a directory; `None` where there are none or one is damaged.
pub fn stored_params(dir: &Path) -> Option<u64> {
    let mut total = None;
    for entry in fs::read_dir(dir).ok()?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "safetensors") {
            total = Some(total.unwrap_or(0) + params_of(&path)?);
        }
    }
    total
}

/// The header of a safetensors file: eight bytes of length, then JSON with the shape of each tensor.
fn params_of(path: &Path) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let mut header = Vec::new();
    // 100 MB is the format's own limit of a header.
    file.take(u64::from_le_bytes(length).min(100_000_000)).read_to_end(&mut header).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    let tensors = header.as_object()?.iter().filter(|(name, _)| *name != "__metadata__");
    tensors.map(|(_, t)| t["shape"].as_array()?.iter().map(Value::as_u64).product::<Option<u64>>()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use handoff::{Digest, OutputFile, UnitEntry, UnitKey};

    #[test]
    fn counts_of_refused_rows_become_reasons() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path());
        let mut manifest = Manifest::load(&run.stage("crawl-clean")).unwrap();
        let d = Digest::of_bytes(b"");
        for (unit, language) in [("a", 2), ("b", 5)] {
            let out = OutputFile {
                path: format!("data/{unit}.parquet"),
                schema: "documents".into(),
                schema_version: 1,
                rows: 10,
                bytes: 100,
                digest: d,
            };
            manifest
                .commit(UnitEntry {
                    unit: unit.into(),
                    batch: 0,
                    index: 0,
                    key: UnitKey { input_digest: d, config_digest: d, format_version: 1 },
                    outputs: vec![out],
                    rejected: vec![],
                    counts: [
                        ("pages".to_owned(), 17),
                        ("rejected.language".to_owned(), language),
                        ("rejected.spam".to_owned(), 1),
                        ("rejected.never".to_owned(), 0),
                    ]
                    .into(),
                    wall_secs: 0.0,
                })
                .unwrap();
        }
        let stages = data_stages(&run).unwrap();
        assert_eq!(stages.len(), 1);
        assert_eq!((stages[0].kept, stages[0].bytes, stages[0].units), (20, 200, 2));
        assert_eq!(stages[0].rejected, [("language".to_owned(), 7), ("spam".to_owned(), 2)]);
        assert_eq!(stages[0].counts, [("pages".to_owned(), 34)]);
    }

    #[test]
    fn many_counts_of_a_kind_are_summed() {
        let mut counts: Vec<(String, u64)> = (0..6).map(|i| (format!("rule_{i}"), i)).collect();
        counts.push(("tokens.train".into(), 7));
        assert_eq!(grouped(counts), [("tokens.train".to_owned(), 7), ("rule (6 kinds)".to_owned(), 15)]);
    }

    #[test]
    fn losses_are_read_past_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path());
        let path = run.stage("pretrain").metrics_jsonl();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(
            &path,
            "{\"step\":1,\"train/loss\":7.5}\n{\"step\":2,\"train/loss\":null,\"validation/loss\":7.0}\n{\"step\":3,\"train/lo",
        )
        .unwrap();
        let rows = "{\"step\":2,\"prompt\":\"法国的首都是\",\"completion\":\"巴黎\"}\n{\"step\":4,\"pro";
        fs::write(run.stage("pretrain").samples_jsonl(), rows).unwrap();
        let t = training(&run, "pretrain").unwrap();
        assert_eq!((t.train, t.validation), (vec![(1.0, 7.5)], vec![(2.0, 7.0)]));
        assert_eq!(t.samples, [(2, "法国的首都是".to_owned(), "巴黎".to_owned())]);
        assert!(training(&run, "sft").is_none());
    }

    #[test]
    fn parameters_are_counted_from_the_header() {
        let dir = tempfile::tempdir().unwrap();
        let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"F32","shape":[4],"data_offsets":[24,40]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([0; 40]);
        fs::write(dir.path().join("model.safetensors"), &bytes).unwrap();
        assert_eq!(stored_params(dir.path()), Some(10));
        fs::write(dir.path().join("broken.safetensors"), &bytes[..30]).unwrap();
        assert_eq!(stored_params(dir.path()), None);
        assert_eq!(stored_params(&dir.path().join("absent")), None);
    }
}
