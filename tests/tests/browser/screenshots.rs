//! `cargo xtask screenshots`: an image for every view and width, and the README's.

use anyhow::ensure;

use crate::browser::{browse, site, xtask};

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn every_view_is_taken_at_three_widths() {
    // It starts a browser of its own, but needs what the others need.
    browse(async |_| {
        let folder = tempfile::tempdir()?;
        let readme = folder.path().join("page.jpg");
        let mut command = xtask();
        command.arg("screenshots").arg("--site").arg(site()).arg("--out").arg(folder.path());
        let output = command.arg("--readme").arg(&readme).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for view in ["compare", "benchmark", "variants"] {
            for (width, least_height) in [(360, 740), (1024, 768), (1920, 1080)] {
                let image = image::open(folder.path().join(format!("{view}-{width}.png")))?.to_rgb8();
                ensure!(image.width() == width && image.height() >= least_height, "{view}: {:?}", image.dimensions());
                let first = image.get_pixel(0, 0);
                ensure!(image.pixels().any(|pixel| pixel != first), "{view} at {width} pixels is empty");
            }
        }
        ensure!(readme.metadata()?.len() < 300_000);
        Ok(())
    });
}
