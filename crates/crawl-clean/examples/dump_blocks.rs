//! Writes what extraction knows of every block, for `scripts/train_extraction.py`:
//! `JIELONG_DATA=/data dump_blocks FOLDER [NAME …]`.
//!
//! Reads `$JIELONG_DATA/crawl/<name>.warc.gz`, and once more with most of the blocks of every page taken out, as `<name>-thin`: small
//! pages are rare among pages with gold text, and not among all pages. Writes `<name>.features.f32`, a row of little-endian floats a block;
//! `<name>.blocks.jsonl`, a page a line with its URL, address of its site if it names one, and the texts of its blocks; and
//! `features.txt`, the names of the columns.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal")]

use crawl_clean::charset::decode;
use crawl_clean::dom::{Data, Dom, Limits, NONE, NodeId, ROOT};
use crawl_clean::extract::tags::{Role, Tag};
use crawl_clean::extract::{blocks, features, maths, page, tree};
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
        for thin in [false, true] {
            dump(&Path::new(&data).join("crawl"), Path::new(&folder), &name, thin)?;
        }
    }
    Ok(())
}

fn dump(input: &Path, folder: &Path, name: &str, thinned: bool) -> Result<(), Box<dyn std::error::Error>> {
    let out = if thinned { format!("{name}-thin") } else { name.to_owned() };
    let mut values = BufWriter::new(File::create(folder.join(format!("{out}.features.f32")))?);
    let mut texts = BufWriter::new(File::create(folder.join(format!("{out}.blocks.jsonl")))?);
    let (mut pages, mut rows) = (0, 0);
    for item in WarcReader::open(&input.join(format!("{name}.warc.gz")), 64 << 20)? {
        let Item::Page(raw) = item? else { continue };
        let Content::Http(block) = &raw.content else { continue };
        let Ok(response) = Response::parse(block) else { continue };
        let Ok(body) = response.decoded(64 << 20).map(|body| body.bytes) else { continue };
        let html = decode(&body, response.charset()).text;
        let mut dom = Dom::parse(&html, Limits { nodes: 1_000_000, depth: 4096 });
        maths::write_out(&mut dom);
        if thinned {
            thin(&mut dom, &raw.url);
        }
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
    println!("{out}: {pages} pages, {rows} blocks");
    Ok(())
}

/// Takes out the text of all blocks but a few, the same ones in every run: between one in 32 and one in 3, by page.
fn thin(dom: &mut Dom, url: &str) {
    let hash = |text: &str| u32::from_str_radix(&handoff::document_id("thin", url, text)[..8], 16).unwrap_or(0);
    let kept = u32::MAX / (3 + hash("") % 30);
    for id in 0..dom.nodes.len() as NodeId {
        let mut block = dom.nodes[id as usize].parent;
        while block != NONE && matches!(dom.tag(block).role(), Role::Inline | Role::Break) {
            block = dom.nodes[block as usize].parent;
        }
        if !matches!(dom.tag(block.min(id)), Tag::Title | Tag::Script)
            && hash(&block.to_string()) > kept
            && let Data::Text(text) = &mut dom.nodes[id as usize].data
        {
            text.clear();
        }
    }
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
