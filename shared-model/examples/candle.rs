//! One of the variants in a program of candle's: it finds objects on an image, then learns by a loss of this program's own,
//! with candle-nn's optimizer, that nothing is there.
//!
//! ```text
//! cargo run --release -p shared-model --example candle -- models/final-voc.safetensors image.jpg
//! ```

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor, safetensors};
use candle_nn::{AdamW, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap};
use shared_model::candle::Yolox;
use shared_model::{ColourOrder, Detection, Image, VOC_CLASSES, Variant, decode, letterbox, nms};

const SIDE: usize = 416;

fn detect(network: &Yolox, images: &Tensor) -> Result<Vec<Detection>> {
    let raw = network.forward(images)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(nms(&decode(network.graph(), &raw, SIDE, SIDE, 0.3), 0.45))
}

/// What is found before and after some steps that push all objectness down.
fn run(weights: &str, image: &str) -> Result<[Vec<Detection>; 2]> {
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let mut network = Yolox::new(Variant::named("final")?, VOC_CLASSES.len(), vb)?;
    let file = safetensors::load(weights, &Device::Cpu)?;
    for (name, variable) in variables.data().lock().expect("no other thread has it").iter() {
        variable.set(&file.get(name).with_context(|| format!("{weights}: no {name}"))?.to_dtype(DType::F32)?)?;
    }
    let photo = image::open(image)?.to_rgb8();
    let image = Image::rgb(&photo, photo.width() as usize, photo.height() as usize)?;
    let images = Tensor::from_vec(letterbox(image, SIDE, ColourOrder::Bgr).0, (1, 3, SIDE, SIDE), &Device::Cpu)?;
    let before = detect(&network, &images)?;

    network.set_training(true);
    let mut optimizer = AdamW::new(variables.all_vars(), ParamsAdamW { lr: 1e-3, ..Default::default() })?;
    for _ in 0..5 {
        let objectness = network.forward(&images)?.narrow(2, 4, 1)?;
        let loss = (objectness.exp()? + 1.0)?.log()?.sum_all()?;
        optimizer.backward_step(&loss)?;
    }
    network.set_training(false);
    Ok([before, detect(&network, &images)?])
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let given = arguments.next().zip(arguments.next());
    let (weights, image) = given.context("usage: candle WEIGHTS.safetensors IMAGE")?;
    let [before, after] = run(&weights, &image)?;
    for Detection { class, score, .. } in &before {
        println!("{} {:.0} %", VOC_CLASSES[*class], 100.0 * score);
    }
    println!("{} objects; after five steps {}", before.len(), after.len());
    Ok(())
}

#[test]
fn it_finds_and_unlearns() {
    let [before, after] = run("../models/final-voc.safetensors", "../web-demo/assets/samples/motorcycle.jpg").unwrap();
    assert!(before.iter().any(|found| VOC_CLASSES[found.class] == "motorbike"), "{before:?}");
    assert!(after.len() < before.len(), "{after:?}");
}
