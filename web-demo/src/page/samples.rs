//! The sample pictures, which everybody may use, and whom they come from.

use super::language::text;

/// A picture that the page brings along.
#[derive(Debug, PartialEq)]
pub struct Sample {
    /// Name of its files: `samples/ID.jpg`, and `samples/thumbnails/ID.jpg` for the button.
    pub id: &'static str,
    /// Who made it.
    pub credit: &'static str,
    pub licence: &'static str,
    /// Where the licence's text is.
    pub licence_url: &'static str,
}

const CC0: &str = "https://creativecommons.org/publicdomain/zero/1.0/";

/// All samples; the first is shown at the start.
pub const SAMPLES: [Sample; 5] = [
    Sample { id: "motorcycle", credit: "Middlebury stereo 2014", licence: "CC0", licence_url: CC0 },
    Sample { id: "coffee", credit: "Rachel Michetti, scikit-image", licence: "CC0", licence_url: CC0 },
    Sample { id: "chelsea", credit: "Stéfan van der Walt, scikit-image", licence: "CC0", licence_url: CC0 },
    Sample {
        id: "astronaut",
        credit: "NASA",
        licence: "public domain",
        licence_url: "https://www.nasa.gov/nasa-brand-center/images-and-media/",
    },
    Sample {
        id: "china",
        credit: "danielbuechele",
        licence: "CC BY 2.0",
        licence_url: "https://creativecommons.org/licenses/by/2.0/",
    },
];

impl Sample {
    /// What it shows, for those who cannot see it.
    pub fn title(&self) -> String {
        match self.id {
            "coffee" => text!("A cup of coffee and a spoon"),
            "motorcycle" => text!("A motorcycle in a workshop"),
            "chelsea" => text!("A cat"),
            "astronaut" => text!("An astronaut in front of a flag"),
            _ => text!("A pavilion among trees"),
        }
    }

    /// The asset's name.
    pub fn file(&self) -> String {
        format!("samples/{}.jpg", self.id)
    }

    /// The small picture's asset's name.
    pub fn thumbnail(&self) -> String {
        format!("samples/thumbnails/{}.jpg", self.id)
    }
}
