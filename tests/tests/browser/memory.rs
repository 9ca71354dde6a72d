//! Images in a row: what the worker holds of one is free before the next.

use anyhow::{Context, Result, ensure};
use image::imageops::{FilterType, resize};
use image::{RgbImage, open};
use integration_tests::repository;

use crate::browser::browse;
use crate::page::Page;
use crate::photo::sample;

const IMAGES: u32 = 20;

/// Bytes of the worker's WebAssembly memory, as it has told the page last.
async fn memory(page: &Page) -> Result<u64> {
    let bytes = page.element("page").await?.attr("data-memory").await?;
    bytes.and_then(|bytes| bytes.parse().ok()).context("the page shows no memory")
}

/// The `index`-th image: samples in turn, in sizes from a quarter to twice theirs, the largest among the first three.
fn image(index: u32) -> Result<RgbImage> {
    let names = ["coffee", "motorcycle", "chelsea", "astronaut", "china"];
    let original = open(sample(names[index as usize % names.len()]))?.to_rgb8();
    let percent = [100, 200, 60, 150, 25, 80, 170][index as usize % 7];
    let (width, height) = (original.width() * percent / 100, original.height() * percent / 100);
    let mut image = resize(&original, width, height, FilterType::Triangle);
    // Whatever the page might remember an image by, this one is new.
    image.put_pixel(0, 0, image::Rgb([index as u8, 0, 0]));
    Ok(image)
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn memory_of_four_models_stays_flat_after_the_third_image() {
    browse(async |page| {
        page.open_at("#v=baseline-coco,baseline-voc,final-voc").await?;
        // A fourth model, of which one need not be published.
        page.upload(&[&repository().join("models/yolox_nano_coco.safetensors")]).await?;
        page.wait_for("return document.querySelectorAll('[data-testid=viewer]').length === 4", vec![]).await?;
        page.wait_for_boxes("").await?;
        page.wait_for_times().await?;
        let folder = tempfile::tempdir()?;
        // The largest image of all is the second, and the worker may keep the room that it has needed.
        let largest = (0..IMAGES).map(|index| Ok(image(index)?.dimensions())).collect::<Result<Vec<_>>>()?;
        let pixels = |&(width, height): &(u32, u32)| width * height;
        ensure!(largest.iter().map(pixels).max() == largest[..3].iter().map(pixels).max(), "{largest:?}");

        let mut seen = Vec::new();
        for index in 0..IMAGES {
            let name = format!("picture-{index}.png");
            let path = folder.path().join(&name);
            image(index)?.save(&path)?;
            page.upload(&[&path]).await?;
            page.wait_for_boxes(&name).await?;
            page.wait_for_times().await?;
            seen.push(memory(page).await?);
        }
        println!("bytes of the worker after each picture: {seen:?}");
        ensure!(seen[2..].iter().all(|bytes| *bytes == seen[2]), "memory grows after the third picture: {seen:?}");
        Ok(())
    });
}
