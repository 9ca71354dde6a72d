//! The sample pictures, which everybody may use, and whom they come from.

/// A picture that the page brings along.
#[derive(Debug, PartialEq)]
pub struct Sample {
    /// Name of its files: `samples/ID.jpg`, and `samples/thumbnails/ID.jpg` for the button.
    pub id: &'static str,
    /// What it shows, for those who cannot see it.
    pub title: &'static str,
    /// Who made it.
    pub credit: &'static str,
    /// Its licence.
    pub licence: &'static str,
    /// The licence's text.
    pub licence_url: &'static str,
}

const CC0: &str = "https://creativecommons.org/publicdomain/zero/1.0/";

/// All samples; the first is shown at the start.
pub const SAMPLES: [Sample; 5] = [
    Sample {
        id: "coffee",
        title: "A cup of coffee and a spoon",
        credit: "Rachel Michetti, scikit-image",
        licence: "CC0",
        licence_url: CC0,
    },
    Sample {
        id: "motorcycle",
        title: "A motorcycle in a workshop",
        credit: "Middlebury stereo 2014",
        licence: "CC0",
        licence_url: CC0,
    },
    Sample {
        id: "chelsea",
        title: "A cat",
        credit: "Stéfan van der Walt, scikit-image",
        licence: "CC0",
        licence_url: CC0,
    },
    Sample {
        id: "astronaut",
        title: "An astronaut in front of a flag",
        credit: "NASA",
        licence: "public domain",
        licence_url: "https://www.nasa.gov/nasa-brand-center/images-and-media/",
    },
    Sample {
        id: "china",
        title: "A pavilion among trees",
        credit: "danielbuechele",
        licence: "CC BY 2.0",
        licence_url: "https://creativecommons.org/licenses/by/2.0/",
    },
];

impl Sample {
    /// The asset's name.
    pub fn file(&self) -> String {
        format!("samples/{}.jpg", self.id)
    }

    /// The small picture's asset's name.
    pub fn thumbnail(&self) -> String {
        format!("samples/thumbnails/{}.jpg", self.id)
    }
}
