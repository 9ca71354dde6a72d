//! What the site weighs, as a table: a visitor downloads every byte.

use std::io::Write;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;

use xtask::names;

use crate::site::Site;
use crate::split::PART;

/// The table: each file with its bytes, and its bytes after gzip, as most hosts send it.
pub fn table(page: &str, site: &Site) -> Result<String> {
    let mut rows = vec![("index.html".to_owned(), page.len(), gzipped(page.as_bytes())?)];
    for (_, file) in site.files() {
        rows.push((file.url.clone(), file.content.len(), gzipped(&file.content)?));
    }
    // A visitor downloads one build of the worker.
    let builds = site.files().filter_map(|(name, _)| name.strip_prefix("worker-")?.strip_suffix(".wasm"));
    let builds: Vec<String> = builds.map(|build| format!("worker-{build}-")).collect();
    // What comes later, or when it is asked for, keeps no visitor waiting.
    let is_later = |url: &str| PART.iter().any(|part| url.starts_with(part)) || url == names::SERVICE_WORKER;
    let is_code = |url: &str| (url.ends_with(".wasm") || url.ends_with(".js")) && !is_later(url);
    let mut sums = Vec::new();
    for build in &builds {
        let is_other = |url: &str| builds.iter().any(|other| other != build && url.starts_with(other.as_str()));
        let name = format!("wasm and js of a first visit with {}", build.trim_end_matches('-'));
        sums.push(sum(name, rows.iter().filter(|row| is_code(&row.0) && !is_other(&row.0))));
    }
    sums.push(sum("everything".to_owned(), rows.iter()));
    rows.append(&mut sums);

    let width = rows.iter().map(|row| row.0.len()).max().unwrap_or_default();
    let mut table = format!("{:width$} {:>12} {:>12}\n", "file", "bytes", "gzip");
    for (name, bytes, gzip) in &rows {
        table += &format!("{name:width$} {bytes:>12} {gzip:>12}\n");
    }
    Ok(table)
}

/// A file or several: name, bytes, bytes after gzip.
type FileSize = (String, usize, usize);

fn sum<'a>(name: String, rows: impl Iterator<Item = &'a FileSize>) -> FileSize {
    rows.fold((name, 0, 0), |(name, bytes, gzip), row| (name, bytes + row.1, gzip + row.2))
}

fn gzipped(content: &[u8]) -> Result<usize> {
    Ok(gzip(content)?.len())
}

/// As small as gzip makes it.
pub fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}
