//! `peers dom_smoothie|rs-trafilatura < pages.jsonl > texts.jsonl`: rows of `url` and `html` in, of `url`, `text` and `secs` out.

use std::io::{BufRead, Write};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_default();
    let extract: fn(&str) -> String = match name.as_str() {
        "dom_smoothie" => |html| {
            let article = dom_smoothie::Readability::new(html, None, None).and_then(|mut page| page.parse());
            article.map(|article| article.text_content.to_string()).unwrap_or_default()
        },
        "rs-trafilatura" => |html| rs_trafilatura::extract(html).map(|page| page.content_text).unwrap_or_default(),
        _ => return Err("which one?".into()),
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let page: serde_json::Value = serde_json::from_str(&line?)?;
        let html = page["html"].as_str().unwrap_or_default();
        let started = Instant::now();
        // A panic on one page is a page without text.
        let text = std::panic::catch_unwind(|| extract(html)).unwrap_or_default();
        let secs = started.elapsed().as_secs_f64();
        serde_json::to_writer(&mut out, &serde_json::json!({ "url": page["url"], "text": text, "secs": secs }))?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
