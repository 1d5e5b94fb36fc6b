//! Scores extraction against gold text: `JIELONG_DATA=/data score_extraction [NAME …]`.
//!
//! Reads `$JIELONG_DATA/crawl/<name>.warc.gz` with `<name>.gold.jsonl.gz`. Score of a page: F1 over the bag of words, or of characters
//! for names that begin with `zh`; a set's score is the mean over its pages.
//!
//! `--dump FOLDER` writes the texts, `<name>.jsonl`; `--worst` lists the worst pages.
//! `--folds FOLDER` scores every page with the model that was trained without its site, as `scripts/train_extraction.py` leaves them:
//! `folds.json` (fold by URL) and `0.txt`, `1.txt` and so on. Without it the scores of pages that the model was trained on say little.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal")]

use crawl_clean::charset::decode;
use crawl_clean::dom::Limits;
use crawl_clean::extract::features;
use crawl_clean::extract::model::Model;
use crawl_clean::extract::{Markup, extract_with};
use crawl_clean::input::http::Response;
use crawl_clean::input::warc::WarcReader;
use crawl_clean::input::{Content, Item};
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Ok(data) = std::env::var("JIELONG_DATA") else {
        eprintln!("skipped: JIELONG_DATA is not set");
        return Ok(());
    };
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    let worst = names.iter().position(|n| n == "--worst").map(|at| names.remove(at)).is_some();
    let folds = match names.iter().position(|n| n == "--folds") {
        Some(at) => {
            names.remove(at);
            if at == names.len() {
                return Err("name the folder of the folds".into());
            }
            Some(Folds::read(Path::new(&names.remove(at)))?)
        }
        None => None,
    };
    let dump = match names.iter().position(|n| n == "--dump") {
        Some(at) => {
            names.remove(at);
            if at == names.len() {
                return Err("name the folder for the texts".into());
            }
            Some(names.remove(at))
        }
        None => None,
    };
    if names.is_empty() {
        names = ["wcxb-dev", "zh-news", "zh-charset"].map(str::to_owned).to_vec();
    }
    let (mut bytes, mut secs) = (0, 0.0);
    for name in &names {
        let of_set = score_set(&Path::new(&data).join("crawl"), name, folds.as_ref(), &Show { worst, dump: dump.clone() })?;
        (bytes, secs) = (bytes + of_set.0, secs + of_set.1);
    }
    println!("all pages: {:.1} MB of HTML, {:.1} MB/s", bytes as f64 / 1e6, bytes as f64 / 1e6 / secs);
    Ok(())
}

/// What is shown beside the scores: the worst pages, and, in this folder, the text of every page with the time it took.
struct Show {
    worst: bool,
    dump: Option<String>,
}

/// Model by fold, and the fold of every page.
struct Folds {
    models: Vec<Model>,
    of: HashMap<String, usize>,
}

impl Folds {
    fn read(folder: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let of: HashMap<String, usize> = serde_json::from_str(&std::fs::read_to_string(folder.join("folds.json"))?)?;
        let count = of.values().max().map_or(0, |last| last + 1);
        let names = features::names();
        let model = |fold| -> Result<Model, Box<dyn std::error::Error>> {
            Ok(Model::read(&std::fs::read_to_string(folder.join(format!("{fold}.txt")))?, &names)?)
        };
        Ok(Self { models: (0..count).map(model).collect::<Result<_, _>>()?, of })
    }

    fn model(&self, url: &str) -> Option<&Model> {
        self.models.get(*self.of.get(url)?)
    }
}

struct Gold {
    text: String,
    kind: String,
}

fn read_gold(path: &Path) -> Result<HashMap<String, Gold>, Box<dyn std::error::Error>> {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(path)?).read_to_string(&mut text)?;
    let mut gold = HashMap::new();
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line)?;
        let get = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        gold.insert(get("url"), Gold { text: get("main_content"), kind: get("page_type") });
    }
    Ok(gold)
}

/// Scores a set; bytes of its HTML, and seconds.
fn score_set(folder: &Path, name: &str, folds: Option<&Folds>, show: &Show) -> Result<(usize, f64), Box<dyn std::error::Error>> {
    let gold = read_gold(&folder.join(format!("{name}.gold.jsonl.gz")))?;
    let by_char = name.starts_with("zh");
    let mut scores: BTreeMap<String, Vec<(f64, f64, f64)>> = BTreeMap::new();
    let mut rows = Vec::new();
    let texts = show.dump.as_ref().map(|dump| std::fs::File::create(Path::new(dump).join(format!("{name}.jsonl"))));
    let mut texts = texts.transpose()?.map(std::io::BufWriter::new);
    let (mut secs, mut bytes, mut slowest) = (0.0_f64, 0_usize, 0.0_f64);
    for item in WarcReader::open(&folder.join(format!("{name}.warc.gz")), 64 << 20)? {
        let Item::Page(page) = item? else { continue };
        let Content::Http(block) = &page.content else {
            continue;
        };
        let Ok(response) = Response::parse(block) else {
            continue;
        };
        let Ok(body) = response.decoded(64 << 20).map(|body| body.bytes) else {
            continue;
        };
        let model = folds.map_or_else(|| Some(Model::built_in()), |folds| folds.model(&page.url)).ok_or("a page is in no fold")?;
        let started = Instant::now();
        let got = extract_with(&decode(&body, response.charset()).text, Limits { nodes: 1_000_000, depth: 4096 }, Markup::Plain, model);
        let took = started.elapsed().as_secs_f64();
        secs += took;
        slowest = slowest.max(took);
        bytes += body.len();
        if let Some(texts) = &mut texts {
            serde_json::to_writer(&mut *texts, &serde_json::json!({"url": page.url, "text": got.text, "secs": took}))?;
            texts.write_all(b"\n")?;
        }
        let Some(want) = gold.get(&page.url) else {
            continue;
        };
        let score = f1(&bag(&got.text, by_char), &bag(&want.text, by_char));
        rows.push((score.0, page.url.clone(), want.kind.clone(), got.text.len(), want.text.len(), score.1, score.2));
        scores.entry(want.kind.clone()).or_default().push(score);
    }
    let all: Vec<(f64, f64, f64)> = scores.values().flatten().copied().collect();
    let mean = |rows: &[(f64, f64, f64)], get: fn(&(f64, f64, f64)) -> f64| rows.iter().map(get).sum::<f64>() / rows.len().max(1) as f64;
    let line = |rows: &[(f64, f64, f64)]| {
        format!("F1 {:.3}  P {:.3}  R {:.3}  ({} pages)", mean(rows, |r| r.0), mean(rows, |r| r.1), mean(rows, |r| r.2), rows.len())
    };
    println!("{name}: {}  {:.1} MB/s, slowest page {:.0} ms", line(&all), bytes as f64 / 1e6 / secs, slowest * 1e3);
    for (kind, rows) in scores.iter().filter(|(kind, _)| !kind.is_empty()) {
        println!("  {kind:12} {}", line(rows));
    }
    if show.worst {
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        for row in rows.iter().take(60) {
            println!("  {:.2} {} {} got {} want {} P {:.2} R {:.2}", row.0, row.1, row.2, row.3, row.4, row.5, row.6);
        }
    }
    Ok((bytes, secs))
}

fn bag(text: &str, by_char: bool) -> HashMap<String, i64> {
    let mut bag = HashMap::new();
    if by_char {
        for c in text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '#' | '*' | '|' | '-' | '>')) {
            *bag.entry(c.to_string()).or_default() += 1;
        }
    } else {
        for word in text.to_lowercase().split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty()) {
            *bag.entry(word.to_owned()).or_default() += 1;
        }
    }
    bag
}

/// F1, precision and recall of two bags.
fn f1(got: &HashMap<String, i64>, want: &HashMap<String, i64>) -> (f64, f64, f64) {
    let common: i64 = got.iter().map(|(key, n)| (*n).min(want.get(key).copied().unwrap_or(0))).sum();
    let (g, w): (i64, i64) = (got.values().sum(), want.values().sum());
    if g == 0 || w == 0 {
        let same = f64::from(u8::from(g == w));
        return (same, same, same);
    }
    let (p, r) = (common as f64 / g as f64, common as f64 / w as f64);
    (if common == 0 { 0.0 } else { 2.0 * p * r / (p + r) }, p, r)
}
