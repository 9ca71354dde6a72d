//! What the site weighs, as a table: a visitor downloads every byte.

use std::io::Write;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::site::Site;

/// The table: each file with its bytes, and its bytes after gzip, as most hosts send it.
pub fn table(page: &str, site: &Site) -> Result<String> {
    let mut rows = vec![("index.html", page.len(), gzipped(page.as_bytes())?)];
    for (_, file) in site.files() {
        rows.push((&file.url, file.content.len(), gzipped(&file.content)?));
    }
    let sum = |name, of: &dyn Fn(&str) -> bool| {
        let chosen = || rows.iter().filter(|(url, ..)| of(url));
        (name, chosen().map(|row| row.1).sum(), chosen().map(|row| row.2).sum())
    };
    let code = sum("all wasm and js", &|url| url.ends_with(".wasm") || url.ends_with(".js"));
    let total = sum("everything", &|_| true);

    let width = rows.iter().map(|(url, ..)| url.len()).max().unwrap_or_default().max(code.0.len());
    let line = |(name, bytes, gzip): &(&str, usize, usize)| format!("{name:width$} {bytes:>12} {gzip:>12}\n");
    let mut table = format!("{:width$} {:>12} {:>12}\n", "file", "bytes", "gzip");
    rows.iter().for_each(|row| table += &line(row));
    table += &line(&code);
    table += &line(&total);
    Ok(table)
}

fn gzipped(content: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    Ok(encoder.finish()?.len())
}
