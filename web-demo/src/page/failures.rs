//! What the worker could not do, in sentences. It sends codes, as it does not know the visitor's language.

use super::language::text;
use super::words;
use crate::protocol::{LoadError, OpenError, RunError, WeightsFlaw};

/// Why the weights of `model` cannot be had.
pub fn loading(model: &str, error: &LoadError) -> String {
    match error {
        LoadError::Unreachable => {
            text!("The weight file of %{model} cannot be reached. Is the connection up?", model = model)
        }
        // The names of published files change with their content.
        LoadError::Status(status @ (404 | 410)) => text!(
            "The server does not have this weight file of %{model} (%{status}): there may be a newer version of the page. Reload it to see.",
            model = model,
            status = status
        ),
        LoadError::Status(status) => {
            text!("The server answered %{status} to the weight file of %{model}.", status = status, model = model)
        }
        LoadError::BrokenOff { received, expected } => text!(
            "The download of the weight file of %{model} broke off after %{received} of %{expected} bytes.",
            model = model,
            received = received,
            expected = expected
        ),
        LoadError::WebPage => {
            text!("The server sent a web page instead of the weight file of %{model}.", model = model)
        }
        LoadError::OtherFile => {
            text!("What arrived as the weight file of %{model} is another file: its SHA-256 differs.", model = model)
        }
        LoadError::OtherLength { received, expected } => text!(
            "What arrived as the weight file of %{model} has %{received} bytes instead of %{expected}.",
            model = model,
            received = received,
            expected = expected
        ),
        LoadError::TooLarge(bytes) => {
            text!("It has %{size}, far more than weights of these networks.", size = words::bytes(*bytes))
        }
        LoadError::Unreadable => text!("The file cannot be read. Was it moved or deleted?"),
        LoadError::Gone => text!("This browser no longer has the file. Please give it again."),
        LoadError::Content(flaw) => content(flaw),
        LoadError::Network(why) => text!("The network cannot be prepared (%{reason}).", reason = why),
    }
}

/// What is wrong with a weight file.
fn content(flaw: &WeightsFlaw) -> String {
    match flaw {
        WeightsFlaw::NotSafetensors(why) => text!(
            "It is no complete .safetensors file (%{reason}). Was the download or the copy cut short?",
            reason = why
        ),
        WeightsFlaw::NoMetadata => {
            text!("It is a .safetensors file without yolox-nano's metadata: `yolox-nano` has not written it.")
        }
        WeightsFlaw::Metadata(why) => text!("Its metadata are of no use (%{reason}).", reason = why),
        WeightsFlaw::Newer(version) => {
            text!("It has format version %{version}, which is newer than this page.", version = version)
        }
        WeightsFlaw::Variant(name) => text!("This page does not know its variant, %{variant}.", variant = name),
        WeightsFlaw::NumberFormat { tensor, format } => text!(
            "Its tensor %{tensor} holds %{format}, and the page reads F32 and F16 only.",
            tensor = tensor,
            format = format
        ),
        WeightsFlaw::NotFinite(tensor) => text!(
            "Its tensor %{tensor} holds a value that is not finite: the training that wrote it had diverged.",
            tensor = tensor
        ),
        WeightsFlaw::Misfit { variant, problems } => {
            text!("Its tensors are not those of %{variant} (%{reason}).", variant = variant, reason = problems)
        }
    }
}

/// Why a picture cannot be looked at.
pub fn opening(error: &OpenError) -> String {
    match error {
        OpenError::Undecodable => text!(
            "This browser cannot decode the picture: the file is damaged, or of a kind that the browser does not know."
        ),
        OpenError::Memory { width, height } => {
            text!("There is not enough memory for %{width} \u{d7} %{height} pixels.", width = width, height = height)
        }
        OpenError::Pixels(why) => text!("The picture's pixels cannot be read (%{reason}).", reason = why),
    }
}

/// Why a network has not run on a picture.
pub fn running(error: &RunError) -> String {
    match error {
        RunError::Gone => text!("The worker no longer has the model or the picture. Please choose the picture again."),
        RunError::Network(why) => text!("The network failed on this picture: %{message}", message = why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_have_the_values_in_them() {
        let cut = LoadError::BrokenOff { received: 7, expected: 9 };
        assert_eq!(
            loading("final-voc", &cut),
            "The download of the weight file of final-voc broke off after 7 of 9 bytes."
        );
        assert!(loading("mine", &LoadError::TooLarge(70_000_000)).contains("70.0 MB"));
        assert!(opening(&OpenError::Memory { width: 9, height: 8 }).contains("9 \u{d7} 8"));
        assert!(running(&RunError::Network("no memory".into())).ends_with(": no memory"));
    }
}
