//! `cargo xtask screenshots` runs this: SITE, the folder of the images, the README's image.

use std::env::args_os;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, crop_imm, resize};
use integration_tests::browser::{drive, wait_for};
use serde_json::{Value, json};
use thirtyfour::WebDriver;
use xtask::server::Server;

/// A phone's, a tablet's and a desk's screen, width and height.
const SCREENS: [(u32, u32); 3] = [(360, 740), (1024, 768), (1920, 1080)];

/// Views by name, and what the address says behind `#`.
const VIEWS: [(&str, &str); 3] = [
    ("compare", "v=baseline-voc,final-voc&s=motorcycle"),
    ("benchmark", "v=baseline-voc,final-voc&s=motorcycle&view=benchmark"),
    ("variants", "v=baseline-voc,final-voc&s=motorcycle&view=variants"),
];

/// The README's image is shown about this wide, twice as fine.
const README_WIDTH: u32 = 1440;
/// In bytes: everybody who looks at the repository downloads it.
const README_MOST: usize = 300_000;

/// Nothing more is going to change by itself: boxes are drawn, times measured, images loaded.
const AT_REST: &str = "
    document.querySelectorAll('img[loading=lazy]').forEach(image => image.loading = 'eager');
    const all = (selector, is) => Array.from(document.querySelectorAll(selector)).every(is);
    return Boolean(document.querySelector('[data-testid=page]'))
        && !document.querySelector('.waiting, .busy')
        && all('[data-testid=viewer]', viewer => viewer.dataset.state === 'done')
        && all('[data-testid=network-ms]', time => /\\d/.test(time.textContent))
        && all('img', image => image.complete);";

fn main() -> Result<()> {
    let mut arguments = args_os().skip(1).map(PathBuf::from);
    let mut next = || arguments.next().context("three arguments: SITE OUT README");
    let (site, out, readme) = (next()?, next()?, next()?);
    ensure!(site.join("index.html").is_file(), "there is no site in {}: run `cargo xtask web`", site.display());
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    drive(async |driver| {
        let server = Server::start(&site, 0)?;
        for (view, address) in VIEWS {
            for (width, height) in SCREENS {
                let path = out.join(format!("{view}-{width}.png"));
                fs::write(&path, image(&driver, &server, address, (width, height)).await?)
                    .with_context(|| path.display().to_string())?;
                println!("{}", path.display());
            }
        }
        Ok(())
    })?;
    let (width, height) = SCREENS[SCREENS.len() - 1];
    write_for_readme(&out.join(format!("{}-{width}.png", VIEWS[0].0)), height, &readme)?;
    println!("{}", readme.display());
    Ok(())
}

/// The page from top to bottom on a screen of this size, as a PNG file.
async fn image(driver: &WebDriver, server: &Server, address: &str, screen: (u32, u32)) -> Result<Vec<u8>> {
    let metrics = json!({ "width": screen.0, "height": screen.1, "deviceScaleFactor": 1, "mobile": screen.0 < 500 });
    driver.cdp().send_raw("Emulation.setDeviceMetricsOverride", metrics).await?;
    // The same page with another `#` would not be loaded again.
    driver.goto("about:blank").await?;
    driver.goto(format!("{}#{address}", server.url())).await?;
    wait_for(driver, AT_REST, vec![]).await.with_context(|| format!("#{address}"))?;
    let height = driver.execute("return document.documentElement.scrollHeight", vec![]).await?;
    let height = height.json().as_u64().context("the page has no height")? as u32;
    // Not by a taller screen, on which images would be taller too.
    let clip = json!({ "x": 0, "y": 0, "width": screen.0, "height": height.max(screen.1), "scale": 1 });
    let params = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
    let answer: Value = driver.cdp().send_raw("Page.captureScreenshot", params).await?;
    Ok(BASE64_STANDARD.decode(answer["data"].as_str().context("no screenshot")?)?)
}

/// The upper part of an image, as high as the screen, smaller, as JPEG.
fn write_for_readme(image: &Path, height: u32, readme: &Path) -> Result<()> {
    let image = image::open(image)?.to_rgb8();
    let part = crop_imm(&image, 0, 0, image.width(), height).to_image();
    let small = resize(&part, README_WIDTH, height * README_WIDTH / image.width(), FilterType::Lanczos3);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 85).encode_image(&small)?;
    ensure!(jpeg.len() <= README_MOST, "the README's picture has {} bytes, more than {README_MOST}", jpeg.len());
    fs::write(readme, jpeg).with_context(|| readme.display().to_string())
}
