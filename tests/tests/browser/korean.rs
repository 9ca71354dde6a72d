//! What the worker and annotation files have to say is said in Korean, too.

use std::fs;

use anyhow::{Result, ensure};
use xtask::server::Fault;

use crate::browser::browse;
use crate::page::Page;

/// Fails unless the message has every part and its words, names aside, are Korean.
async fn says(page: &Page, id: &str, parts: &[&str]) -> Result<()> {
    let message = page.wait_for_message(id).await?;
    ensure!(parts.iter().all(|part| message.contains(part)), "{message}");
    ensure!(!["The ", "This ", " is ", " of "].iter().any(|english| message.contains(english)), "{message}");
    Ok(())
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn failures_are_told_in_korean() {
    browse(async |page| {
        page.expect_error("Failed to load resource");
        page.server.fail("models/yolox_nano_coco", Fault::WrongBytes);
        page.visit_at("#v=baseline-coco&lang=ko").await?;
        says(page, "failure", &["baseline-coco", "웹 페이지"]).await?;
        page.server.heal();
        page.click("retry").await?;
        page.wait_for_boxes("").await?;

        let folder = tempfile::tempdir()?;
        for (name, content, parts) in [
            ("a.xml", "<html></html>", &["a.xml, 1번째 줄", "<html>", "VOC"][..]),
            ("a.txt", "0 0.5 0.5 0.5\n", &["a.txt, 1번째 줄", "4개"]),
            ("a.json", "[]", &["a.json", "목록"]),
            ("a.safetensors", "short", &["a.safetensors", "온전한"]),
            ("a.png", "\u{89}PNG", &["a.png", "사진"]),
        ] {
            let file = folder.path().join(name);
            fs::write(&file, content)?;
            page.upload(&[&file]).await?;
            says(page, "notice", parts).await?;
            page.click("dismiss").await?;
        }
        Ok(())
    });
}
