//! Files that are no images, or too much of one: a sentence, and the page goes on.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::browser::browse;
use crate::page::Page;
use crate::photo::{sample, write_claim};

/// Uploads `file`, expects a sentence with its name and `part`, and the image before it still on show.
async fn refused(page: &Page, file: &Path, part: &str) -> Result<()> {
    let before = page.text("caption").await?;
    page.upload(&[file]).await?;
    let message = page.wait_for_message("notice").await?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    ensure!(message.contains(&*name) && message.contains(part), "{message}");
    ensure!(page.text("caption").await? == before, "the picture before {name} is gone");
    page.click("dismiss").await?;
    Ok(())
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn bad_files_get_a_sentence_each() {
    browse(async |page| {
        page.open().await?;
        let folder = tempfile::tempdir()?;
        let file = |name: &str| folder.path().join(name);

        fs::write(file("empty.jpg"), b"")?;
        refused(page, &file("empty.jpg"), "empty").await?;

        fs::write(file("notes.jpg"), b"These are the notes of a meeting.")?;
        refused(page, &file("notes.jpg"), "not a picture").await?;

        write_claim(10_000, 10_000, &file("huge.png"))?;
        refused(page, &file("huge.png"), "10000 x 10000").await?;

        // A good header, and nothing behind it.
        write_claim(640, 480, &file("damaged.png"))?;
        refused(page, &file("damaged.png"), "damaged").await?;

        let mut cut_short = fs::read(sample("coffee"))?;
        cut_short.truncate(300);
        fs::write(file("short.jpg"), cut_short)?;
        refused(page, &file("short.jpg"), "damaged").await?;

        page.pick_sample("chelsea").await?;
        page.wait_for_boxes("chelsea.jpg").await?;
        ensure!(page.objects().await?[0].class == "cat");
        Ok(())
    });
}
