//! Settings that are written as text: a range of sizes, a span of time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Smallest and greatest side of the network's input in pixels; written `MIN:MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeRange {
    /// Smallest.
    pub min: usize,
    /// Greatest.
    pub max: usize,
}

impl FromStr for SizeRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || -> Option<Self> {
            let (min, max) = text.split_once(':')?;
            Some(Self { min: min.parse().ok()?, max: max.parse().ok()? })
        };
        read().ok_or_else(|| "two sizes in pixels are needed, as in 320:640".into())
    }
}

impl fmt::Display for SizeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.min, self.max)
    }
}

/// A span of time; written as `150m` or `2h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSpan(pub Duration);

impl FromStr for TimeSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = humantime::parse_duration(text);
        span.map(Self).map_err(|error| format!("a time is needed, as in 150m or 2h 30m ({error})"))
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_and_written() {
        let range: SizeRange = "320:640".parse().unwrap();
        assert_eq!((range, range.to_string().as_str()), (SizeRange { min: 320, max: 640 }, "320:640"));
        for text in ["320", "320:", "a:640", "-32:640"] {
            assert!(text.parse::<SizeRange>().unwrap_err().contains("320:640"), "{text}");
        }
        let span: TimeSpan = "150m".parse().unwrap();
        assert_eq!(span.0, Duration::from_secs(9000));
        assert_eq!(span.to_string().parse::<TimeSpan>(), Ok(span));
        assert!("150".parse::<TimeSpan>().unwrap_err().contains("150m"));
    }
}
