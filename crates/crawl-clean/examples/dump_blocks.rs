//! Writes what extraction knows of every block, for `scripts/train_extraction.py`:
//! `JIELONG_DATA=/data dump_blocks FOLDER [NAME …]`.
//!
//! Reads `$JIELONG_DATA/crawl/<name>.warc.gz`. Writes `<name>.features.f32`, a row of little-endian floats a block;
//! `<name>.blocks.jsonl`, a page a line with its URL, address of its site if it names one, and the texts of its blocks; and
//! `features.txt`, the names of the columns.
#![expect(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a tool for the terminal")]

use crawl_clean::charset::decode;
use crawl_clean::dom::{Dom, Limits, NONE, ROOT};
use crawl_clean::extract::{blocks, features, page, tags::Tag, tree};
use crawl_clean::input::http::Response;
use crawl_clean::input::warc::WarcReader;
use crawl_clean::input::{Content, Item};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Ok(data) = std::env::var("JIELONG_DATA") else {
        eprintln!("skipped: JIELONG_DATA is not set");
        return Ok(());
    };
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("name a folder to write to")?;
    let mut names: Vec<String> = arguments.collect();
    if names.is_empty() {
        names = ["wcxb-dev", "zh-news", "zh-charset"].map(str::to_owned).to_vec();
    }
    std::fs::create_dir_all(&folder)?;
    std::fs::write(Path::new(&folder).join("features.txt"), features::names().join("\n") + "\n")?;
    for name in names {
        dump(&Path::new(&data).join("crawl"), Path::new(&folder), &name)?;
    }
    Ok(())
}

fn dump(input: &Path, folder: &Path, name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut values = BufWriter::new(File::create(folder.join(format!("{name}.features.f32")))?);
    let mut texts = BufWriter::new(File::create(folder.join(format!("{name}.blocks.jsonl")))?);
    let (mut pages, mut rows) = (0, 0);
    for item in WarcReader::open(&input.join(format!("{name}.warc.gz")), 64 << 20)? {
        let Item::Page(raw) = item? else { continue };
        let Content::Http(block) = &raw.content else { continue };
        let Ok(response) = Response::parse(block) else { continue };
        let Ok(body) = response.decoded(64 << 20) else { continue };
        let html = decode(&body, response.charset()).text;
        let dom = Dom::parse(&html, Limits { nodes: 1_000_000, depth: 4096 });
        let tree = tree::Tree::measure(&dom);
        let blocks = blocks::collect(&dom, &tree);
        let about = page::read(&dom);
        let page = features::Page::new(&dom, &tree, &blocks, &about);
        for i in 0..blocks.list.len() {
            let mut row = Vec::new();
            page.features(i, &mut row);
            for value in row {
                values.write_all(&value.to_le_bytes())?;
            }
        }
        let kept: Vec<&str> = blocks.list.iter().map(|block| blocks.text(block)).collect();
        serde_json::to_writer(&mut texts, &serde_json::json!({"url": raw.url, "site": site(&dom), "blocks": kept}))?;
        texts.write_all(b"\n")?;
        pages += 1;
        rows += kept.len();
    }
    println!("{name}: {pages} pages, {rows} blocks");
    Ok(())
}

/// Host of the address a page gives itself, so that pages of one site stay in one fold.
fn site(dom: &Dom) -> Option<String> {
    let mut at = ROOT;
    while at != NONE {
        let address = match dom.tag(at) {
            Tag::Link if dom.attribute(at, "rel") == Some("canonical") => dom.attribute(at, "href"),
            Tag::Meta if dom.attribute(at, "property") == Some("og:url") => dom.attribute(at, "content"),
            _ => None,
        };
        if let Some(host) = address.and_then(|a| a.split("//").nth(1)).and_then(|rest| rest.split('/').next())
            && !host.is_empty()
        {
            return Some(host.trim_start_matches("www.").to_lowercase());
        }
        at = dom.following(at, ROOT);
    }
    None
}
