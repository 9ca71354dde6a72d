//! The visitor's own files: several images, annotations, weights, and the camera.

use std::fs;

use anyhow::ensure;
use integration_tests::repository;
use serde_json::json;

use crate::browser::{browse, command_line};
use crate::objects::{found_by_command_line, same};
use crate::photo::sample;

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn several_images_become_a_gallery() {
    browse(async |page| {
        page.open_at("#v=baseline-coco,baseline-voc").await?;
        page.upload(&[&sample("chelsea"), &sample("coffee"), &sample("motorcycle")]).await?;
        page.wait_for_boxes("chelsea.jpg").await?;
        page.wait_for("return document.querySelector('[data-testid=gallery-done]')?.textContent === '3 / 3'", vec![])
            .await?;
        ensure!(page.text("gallery-agreement").await?.contains('%'));
        let counts = page.texts("gallery-counts").await?;
        let theirs = found_by_command_line(&sample("motorcycle"))?.len();
        ensure!(counts.len() == 3 && counts[2].starts_with(&format!("{theirs} ")), "{counts:?}");

        page.script(
            "document.querySelector('[data-testid=gallery-item][data-picture=\"motorcycle.jpg\"]').click()",
            vec![],
        )
        .await?;
        page.wait_for_boxes("motorcycle.jpg").await?;
        same(&page.objects().await?, &found_by_command_line(&sample("motorcycle"))?, 0.3)?;
        page.click("gallery-close").await?;
        ensure!(!page.shows("gallery").await?);
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_dropped_folder_becomes_a_gallery() {
    browse(async |page| {
        page.open().await?;
        // Folders cannot be put into an event by a script; this is how one looks to the page.
        let script = "const file = (name, path) => ({ isFile: true, isDirectory: false, fullPath: path + name,
                file: done => done(new File([new Uint8Array(bytes)], name, { type: 'image/jpeg' })) });
            const folder = (path, entries) => ({ isFile: false, isDirectory: true, fullPath: path, createReader: () => {
                const parts = [entries, []];
                return { readEntries: done => done(parts.shift()) };
            } });
            const bytes = arguments[0];
            const inner = folder('/pictures/inner', [file('b.jpg', '/pictures/inner/')]);
            const outer = folder('/pictures', [file('c.jpg', '/pictures/'), inner, file('.hidden', '/pictures/')]);
            const event = new DragEvent('drop', { bubbles: true, cancelable: true });
            Object.defineProperty(event, 'dataTransfer', { value: {
                types: ['Files'], items: { length: 1, 0: { webkitGetAsEntry: () => outer } }, files: [],
            } });
            document.querySelector('[data-testid=page]').dispatchEvent(event);";
        page.script(script, vec![fs::read(sample("chelsea"))?.into()]).await?;
        page.wait_for("return document.querySelector('[data-testid=gallery-done]')?.textContent === '2 / 2'", vec![])
            .await?;
        let names =
            "return Array.from(document.querySelectorAll('[data-testid=gallery-item]'), i => i.dataset.picture)";
        ensure!(page.script(names, vec![]).await? == json!(["c.jpg", "b.jpg"]));
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_gallery_goes_on_past_a_damaged_image() {
    browse(async |page| {
        page.open().await?;
        let folder = tempfile::tempdir()?;
        let damaged = folder.path().join("damaged.jpg");
        let mut bytes = fs::read(sample("coffee"))?;
        bytes.truncate(700);
        fs::write(&damaged, bytes)?;
        page.upload(&[&sample("chelsea"), &damaged, &sample("motorcycle")]).await?;
        page.wait_for("return document.querySelector('[data-testid=gallery-done]')?.textContent.match(/^(2 . 2|3 . 3)$/) !== null", vec![]).await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn annotations_tell_hits_from_false_alarms() {
    browse(async |page| {
        page.open_at("#v=baseline-coco,baseline-voc").await?;
        let cat = found_by_command_line(&sample("chelsea"))?[0].corners;
        let folder = tempfile::tempdir()?;
        let object = |class: &str, [x1, y1, x2, y2]: [f64; 4]| {
            format!(
                "<object><name>{class}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>\
                 </bndbox></object>"
            )
        };
        // The cat is there; the dog is not to be found.
        let xml = folder.path().join("chelsea.xml");
        let objects = [object("cat", cat), object("dog", [1.0, 1.0, 40.0, 40.0])].concat();
        fs::write(&xml, format!("<annotation>{objects}</annotation>"))?;
        page.upload(&[&sample("chelsea"), &xml]).await?;
        page.wait_for_boxes("chelsea.jpg").await?;
        page.wait_for("return document.querySelectorAll('[data-testid=count-hit]').length === 2", vec![]).await?;
        for (id, expected) in
            [("count-hit", "hits: 1"), ("count-overlooked", "overlooked: 1"), ("count-alarm", "false alarms: 0")]
        {
            let texts = page.texts(id).await?;
            ensure!(texts == [expected, expected], "{texts:?}");
        }
        let words = page.text("words").await?;
        ensure!(words.contains("baseline-voc finds 1 of 2 (false alarms: 0)."), "{words}");

        // Damaged, it is refused with its line.
        fs::write(&xml, "<annotation>\n<object></object></annotation>")?;
        page.upload(&[&xml]).await?;
        let message = page.wait_for_message("notice").await?;
        ensure!(message.contains("chelsea.xml, line 2"), "{message}");
        Ok(())
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn yolo_and_coco_annotations_are_read_too() {
    browse(async |page| {
        page.open().await?;
        let folder = tempfile::tempdir()?;
        let [x1, y1, x2, y2] = found_by_command_line(&sample("chelsea"))?[0].corners;
        let (width, height) = image::image_dimensions(sample("chelsea"))?;
        let (w, h) = (f64::from(width), f64::from(height));
        let yolo = folder.path().join("chelsea.txt");
        fs::write(
            &yolo,
            format!("0 {} {} {} {}\n", (x1 + x2) / 2.0 / w, (y1 + y2) / 2.0 / h, (x2 - x1) / w, (y2 - y1) / h),
        )?;
        let names = folder.path().join("classes.txt");
        fs::write(&names, "cat\n")?;
        let coco = folder.path().join("instances.json");
        let text = json!({
            "images": [{ "id": 1, "file_name": "val/chelsea.jpg", "width": width, "height": height }],
            "categories": [{ "id": 17, "name": "cat" }],
            "annotations": [{ "id": 1, "image_id": 1, "category_id": 17, "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0 }],
        });
        fs::write(&coco, text.to_string())?;
        // As Windows' editors save it.
        let wide = folder.path().join("wide.json");
        let units = std::iter::once(0xfeff).chain(text.to_string().encode_utf16().collect::<Vec<_>>());
        fs::write(&wide, units.flat_map(u16::to_le_bytes).collect::<Vec<_>>())?;
        for files in [vec![&yolo, &names], vec![&coco], vec![&wide]] {
            let image = sample("chelsea");
            let files: Vec<_> = std::iter::once(&image).chain(files).map(|file| file.as_path()).collect();
            page.upload(&files).await?;
            page.wait_for(
                "return document.querySelector('[data-testid=count-hit]')?.textContent === 'hits: 1'",
                vec![],
            )
            .await?;
            page.pick_sample("coffee").await?;
            page.wait_for_boxes("coffee.jpg").await?;
            ensure!(!page.shows("count-hit").await?, "the annotation is beside another picture");
        }
        fs::write(&names, b"chat\nvis-\xe0-vis\n")?;
        page.upload(&[&names]).await?;
        page.wait_for("return document.body.innerText.includes('The text is not in UTF-8. Save it as UTF-8.')", vec![])
            .await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn weights_of_ones_own_become_a_model() {
    browse(async |page| {
        page.open().await?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("my run.safetensors");
        fs::copy(repository().join("models/baseline-voc.safetensors"), &file)?;
        page.upload(&[&file]).await?;
        let both = "return Array.from(document.querySelectorAll('[data-testid=viewer]'), v => v.dataset.model).join()";
        page.wait_for(&format!("{both} === 'baseline-coco,my-run'"), vec![]).await?;
        page.pick_sample("motorcycle").await?;
        page.wait_for_boxes("motorcycle.jpg").await?;
        let output =
            command_line()?.args(["detect", "--json", "--weights"]).arg(&file).arg(sample("motorcycle")).output()?;
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        ensure!(answer["detections"].as_array().map(Vec::len) == Some(page.objects_of(1).await?.len()), "{answer}");
        let parameters = page.texts("parameters").await?;
        ensure!(parameters == ["912,159", "900,459"], "{parameters:?}");

        // One that is cut short is refused, and the page stays as it was.
        let mut bytes = fs::read(&file)?;
        bytes.truncate(bytes.len() / 2);
        let short = folder.path().join("short.safetensors");
        fs::write(&short, bytes)?;
        page.upload(&[&short]).await?;
        let message = page.wait_for_message("notice").await?;
        ensure!(message.contains("short.safetensors") && message.contains("cut short"), "{message}");
        page.wait_for(&format!("{both} === 'baseline-coco,my-run'"), vec![]).await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn the_camera_runs_pauses_and_ends() {
    browse(async |page| {
        page.open().await?;
        page.devtools("Browser.grantPermissions", json!({ "permissions": ["videoCapture"] })).await?;
        page.click("camera-start").await?;
        page.wait_for("return /\\d/.test(document.querySelector('[data-testid=fps]')?.textContent)", vec![]).await?;
        let runs = page.runs().await?;
        page.wait_for(
            &format!("return Number(document.querySelector('[data-testid=viewer]').dataset.runs) > {runs} + 5"),
            vec![],
        )
        .await?;
        page.click("camera-pause").await?;
        page.wait_for_boxes("Camera").await?;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let paused = page.runs().await?;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        ensure!(page.runs().await? == paused, "a paused camera goes on");
        page.click("camera-stop").await?;
        ensure!(!page.shows("camera").await?);
        page.pick_sample("chelsea").await?;
        page.wait_for_boxes("chelsea.jpg").await
    });
}

/// Records two seconds of a moving square, and gives the page the file as the file dialogue does.
const GIVE_VIDEO: &str = "const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 240 });
    const context = canvas.getContext('2d');
    let at = 0;
    const draw = setInterval(() => {
        context.fillStyle = 'white';
        context.fillRect(0, 0, 320, 240);
        context.fillStyle = 'red';
        context.fillRect(at++ % 280, 100, 40, 40);
    }, 40);
    const recorder = new MediaRecorder(canvas.captureStream(25), { mimeType: 'video/webm' });
    const parts = [];
    recorder.ondataavailable = event => parts.push(event.data);
    recorder.onstop = () => {
        clearInterval(draw);
        const files = new DataTransfer();
        files.items.add(new File(parts, 'square.webm', { type: 'video/webm' }));
        const input = document.querySelector('[data-testid=upload]');
        input.files = files.files;
        input.dispatchEvent(new Event('change', { bubbles: true }));
    };
    recorder.start();
    setTimeout(() => recorder.stop(), 2000);";

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_video_plays_pauses_and_goes_to_any_place() {
    browse(async |page| {
        page.open_at("#v=baseline-coco,baseline-voc&s=coffee").await?;
        page.script(GIVE_VIDEO, vec![]).await?;
        page.wait_for("return /\\d/.test(document.querySelector('[data-testid=fps]')?.textContent)", vec![]).await?;
        // A recording says how long it is once it has been played.
        page.wait_for("return Boolean(document.querySelector('[data-testid=video-place]'))", vec![]).await?;
        page.slide("video-place", 1.0).await?;
        page.wait_for(
            "return document.querySelector('[data-testid=video-time]').textContent.startsWith('1.0 / ')",
            vec![],
        )
        .await?;
        page.wait_for_boxes("square.webm").await?;
        ensure!(page.element("camera-pause").await?.attr("aria-pressed").await?.as_deref() == Some("true"));
        // The frame before may still have been on its way.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let runs = page.runs().await?;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        ensure!(page.runs().await? == runs, "a paused video goes on");
        page.click("camera-pause").await?;
        page.wait_for(
            "return !document.querySelector('[data-testid=video-time]').textContent.startsWith('1.0')",
            vec![],
        )
        .await?;
        // What both models find along the video is drawn, and a click there goes to that place.
        let lines = "const all = [...document.querySelectorAll('[data-testid=film-line]')];
            return all.length === 2 && all.every(line => line.points.numberOfItems > 2)";
        page.wait_for(lines, vec![]).await?;
        page.click("film-drawing").await?;
        let middle = "const [at, length] = document.querySelector('[data-testid=video-time]').textContent.split(' / ').map(parseFloat);
            return Math.abs(at - length / 2) < 0.2";
        page.wait_for(middle, vec![]).await?;
        ensure!(page.element("camera-pause").await?.attr("aria-pressed").await?.as_deref() == Some("true"));
        page.click("camera-stop").await?;
        ensure!(!page.shows("camera").await?);
        page.pick_sample("chelsea").await?;
        page.wait_for_boxes("chelsea.jpg").await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_video_that_cannot_be_played_gets_a_sentence() {
    browse(async |page| {
        page.open().await?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("holiday.mp4");
        fs::write(&file, b"no video")?;
        page.upload(&[&file]).await?;
        let message = page.wait_for_message("notice").await?;
        ensure!(message.contains("holiday.mp4") && message.contains("WebM"), "{message}");
        page.pick_sample("chelsea").await?;
        page.wait_for_boxes("chelsea.jpg").await
    });
}

#[test]
#[ignore = "needs the site and a browser: cargo xtask test"]
fn a_denied_camera_gets_a_sentence() {
    browse(async |page| {
        page.open().await?;
        let denied = json!({ "permission": { "name": "camera" }, "setting": "denied" });
        page.devtools("Browser.setPermission", denied).await?;
        page.click("camera-start").await?;
        let message = page.wait_for_message("notice").await?;
        ensure!(message.contains("does not allow the camera"), "{message}");
        page.pick_sample("chelsea").await?;
        page.wait_for_boxes("chelsea.jpg").await
    });
}
