//! JPEG as OpenCV and browsers decode it, bit for bit: through libjpeg.

#![expect(unsafe_code, reason = "libjpeg tells of damage by a C function")]

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::io::{self, BufRead, Read};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use image::RgbImage;
use mozjpeg::{ColorSpace, Decompress};
use mozjpeg_sys::{jpeg_common_struct, jpeg_decompress_struct, jpeg_error_mgr, jpeg_std_error};

use super::PhotoError;

/// A file cut short is refused where more of its rows are missing: objects would lie in what the decoder makes up.
const MOST_MISSING: f64 = 0.1;

/// So many zeros at a file's end are no part of an image.
const ZEROS: usize = 256;

/// What libjpeg says where a marker comes before all data of a pass have.
const CUT: &str = "Corrupt JPEG data: premature end of data segment";

/// Bytes of libjpeg's messages: `JMSG_LENGTH_MAX`.
const MESSAGE: usize = 200;

/// What libjpeg says where it reads past a file's end, needed or not.
const LOOKED_AHEAD: &str = "Premature end of JPEG file";

/// What a file lacks that is refused.
const TOO_EARLY: &str = "the data end too early";

/// Pixels that a byte can stand for at most: each block of 64 of at least one colour, which has a quarter of the rows or of the
/// columns of the finest one at least, takes a bit in the first pass.
const MOST_PIXELS_A_BYTE: u64 = 64 * 4 * 8;

/// How a file stores its image, as far as that takes memory and time.
#[derive(Debug, PartialEq)]
pub(super) struct Storage {
    /// Bytes that a pixel takes until the last pass is read; 0 where there is one pass only, which needs none.
    pub(super) bytes_a_pixel: f64,
    /// Passes over the image.
    pub(super) passes: usize,
    /// Whether the data are in pieces, of which others may follow where one is cut short.
    pub(super) in_pieces: bool,
}

impl Storage {
    /// Of the file of these bytes; `None` where they do not get as far.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let mut at = 2;
        let mut restarts = false;
        let mut samples = 0.0;
        let mut components = 0;
        loop {
            let &[0xff, marker, high, low] = bytes.get(at..at + 4)? else { return None };
            let segment = bytes.get(at + 4..)?;
            match marker {
                // Fill bytes may come before a marker.
                0xff => {
                    at += 1;
                    continue;
                }
                // Start of a frame, in which way ever; the others of these numbers are tables.
                0xc0..=0xcf if ![0xc4, 0xc8, 0xcc].contains(&marker) => {
                    components = usize::from(*segment.get(5)?);
                    let sampling: Vec<_> = segment.get(6..6 + 3 * components)?.chunks(3).map(|one| one[1]).collect();
                    let most = |part: fn(u8) -> u8| sampling.iter().map(|&both| part(both)).max().unwrap_or(1).max(1);
                    let all = f64::from(most(|both| both >> 4)) * f64::from(most(|both| both & 15));
                    samples =
                        sampling.iter().map(|&both| f64::from(both >> 4) * f64::from(both & 15)).sum::<f64>() / all;
                }
                // The number of blocks between two marks that decoding can begin anew behind.
                0xdd => restarts = segment.get(..2)? != [0, 0],
                0xda => {
                    // Those of a preview lie before.
                    let passes = bytes[at..].windows(2).filter(|marker| *marker == [0xff, 0xda]).count();
                    let has_all = passes == 1 && usize::from(*segment.first()?) == components;
                    // Coefficients have 16 bits.
                    let bytes_a_pixel = if has_all { 0.0 } else { 2.0 * samples };
                    return Some(Self { bytes_a_pixel, passes, in_pieces: restarts || !has_all });
                }
                _ => {}
            }
            at += 2 + usize::from(u16::from_be_bytes([high, low]));
        }
    }
}

/// What came of a file.
#[derive(Debug)]
pub(super) struct Jpeg {
    /// As they are stored, not yet upright.
    pub(super) pixels: RgbImage,
    /// What is damaged, where the decoder could go on.
    pub(super) damage: Option<String>,
}

/// The image, which says that it has `area` pixels, with sides divided by `shrink` (1, 2, 4 or 8, rounded up); `None` for inks
/// (CMYK), which libjpeg leaves to others.
pub(super) fn decode(bytes: &[u8], area: u64, shrink: usize) -> Result<Option<Jpeg>, PhotoError> {
    let bytes = without_zeros(bytes);
    let area = area as f64;
    if area * (1.0 - MOST_MISSING) > (bytes.len() as u64 * MOST_PIXELS_A_BYTE) as f64 {
        return Err(PhotoError::Damaged(TOO_EARLY.into()));
    }
    let ran_out = Cell::new(false);
    let source = JpegSource { rest: bytes, ran_out: &ran_out };
    WARNING.take();
    // libjpeg reports what it cannot go on with by unwinding.
    let refining = is_refining(bytes);
    let in_pieces = Storage::of(bytes).is_none_or(|storage| storage.in_pieces);
    let decoded = catch_unwind(AssertUnwindSafe(|| pixels(source, shrink, refining, in_pieces)));
    let warning = WARNING.take();
    let (pixels, whole_rows) = match decoded {
        Ok(Ok(Some(decoded))) => decoded,
        Ok(Ok(None)) => return Ok(None),
        Ok(Err(error)) => return Err(PhotoError::Damaged(error.to_string())),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map_or("broken JPEG data", String::as_str);
            return Err(PhotoError::Damaged(message.into()));
        }
    };
    let height = pixels.height();
    let missing = match &warning {
        // Nothing but the mark of the end.
        None => 0,
        // A file that is stored in passes ends before the first row comes out. Where its last pass makes earlier ones more
        // exact, no more than some last bits are missing, of the rows behind the warning.
        Some(warning) if whole_rows == 0 && refining => (f64::from(height) * (1.0 - warning.at)).ceil() as u32,
        Some(_) => height - whole_rows.min(height),
    };
    if f64::from(missing) > MOST_MISSING * f64::from(height) {
        return Err(PhotoError::Damaged(TOO_EARLY.into()));
    }
    let ended = ran_out.get() || !in_pieces && warning.as_ref().is_some_and(|warning| warning.cut);
    let damage = match (ended, warning) {
        (true, _) if missing > 0 => Some(format!("the file's end is missing, and with it {missing} of {height} rows")),
        (true, _) => Some("the file's last bytes are missing".into()),
        (false, Some(Warning { message, .. })) => Some(format!("some of the data inside are damaged ({message})")),
        (false, None) => None,
    };
    Ok(Some(Jpeg { pixels, damage }))
}

/// Without the zeros that take the place of what was not copied, as file systems and programs for downloads leave them: the
/// decoder would take them for data, gray or black, and find nothing wrong.
fn without_zeros(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    if bytes.len() - end < ZEROS { bytes } else { &bytes[..end] }
}

/// The pixels, and how many of their rows were decoded from data that are there. `refining`: whether the last pass only makes
/// earlier ones more exact; `in_pieces`: as in [`Storage`].
fn pixels(
    source: JpegSource<'_>,
    shrink: usize,
    refining: bool,
    in_pieces: bool,
) -> io::Result<Option<(RgbImage, u32)>> {
    let ran_out = source.ran_out;
    let mut header = Decompress::with_err(errors()).from_reader(source)?;
    if matches!(header.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK) {
        return Ok(None);
    }
    if shrink > 1 {
        header.scale((8 / shrink) as u8);
    }
    let mut decoder = header.rgb()?;
    let (width, height) = (decoder.width(), decoder.height());
    let mut pixels = vec![0_u8; 3 * width * height];
    let (mut whole, mut invented) = (0, 0);
    let most_missing = MOST_MISSING * height as f64;
    for row in pixels.chunks_exact_mut(3 * width) {
        decoder.read_scanlines_into(row)?;
        let (warned, cut) =
            WARNING.with_borrow(|warning| (warning.is_some(), warning.as_ref().is_some_and(|warning| warning.cut)));
        let ended = cut && !in_pieces;
        whole += u32::from(!ran_out.get() && !ended);
        // Millions of rows that nobody is going to see would take their time.
        invented += u32::from(ran_out.get() && warned || ended);
        if !refining && f64::from(invented) > most_missing {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, TOO_EARLY));
        }
    }
    decoder.finish()?;
    Ok(RgbImage::from_raw(width as u32, height as u32, pixels).map(|pixels| (pixels, whole)))
}

/// Whether the last pass in a file only makes coefficients of earlier ones more exact.
fn is_refining(bytes: &[u8]) -> bool {
    let last = bytes.windows(2).rposition(|marker| marker == [0xff, 0xda]);
    let parameters = last.and_then(|last| {
        let components = usize::from(*bytes.get(last + 4)?);
        bytes.get(last + 5 + 2 * components + 2)
    });
    parameters.is_some_and(|successive| successive >> 4 > 0)
}

/// What libjpeg warns of.
#[derive(Debug)]
struct Warning {
    message: String,
    /// Where in a pass: the part of the rows that were read before.
    at: f64,
    /// Whether this or a later warning was [`CUT`].
    cut: bool,
}

thread_local! {
    /// The first warning about the file that this thread decodes.
    static WARNING: RefCell<Option<Warning>> = const { RefCell::new(None) };
}

/// libjpeg's handling of errors, but for where messages go: warnings are kept, errors unwind.
fn errors() -> jpeg_error_mgr {
    // SAFETY: the structure consists of numbers, pointers and optional functions, for all of which zero is a value.
    let mut errors: jpeg_error_mgr = unsafe { std::mem::zeroed() };
    // SAFETY: the function fills in the structure and keeps no pointer to it.
    unsafe { jpeg_std_error(&mut errors) };
    errors.error_exit = Some(unwind);
    errors.emit_message = Some(note);
    errors
}

extern "C-unwind" fn unwind(info: &mut jpeg_common_struct) {
    resume_unwind(Box::new(message(info)));
}

extern "C-unwind" fn note(info: &mut jpeg_common_struct, level: c_int) {
    // Others are for people who look for mistakes in libjpeg.
    if level < 0 {
        let message = message(info);
        // Whether something is missing is told by another warning.
        if !message.starts_with(LOOKED_AHEAD) {
            let (at, cut) = (rows_read(info), message.starts_with(CUT));
            WARNING.with_borrow_mut(|warning| {
                warning.get_or_insert(Warning { message, at, cut }).cut |= cut;
            });
        }
    }
}

/// The part of the image's rows that the present pass has read.
fn rows_read(info: &mut jpeg_common_struct) -> f64 {
    if info.is_decompressor == 0 {
        return 0.0;
    }
    // SAFETY: this is the beginning of the structure of a decoder, as it says itself.
    let info = unsafe { &*std::ptr::from_mut(info).cast::<jpeg_decompress_struct>() };
    let rows = f64::from(info.input_iMCU_row) * f64::from(8 * info.max_v_samp_factor);
    (rows / f64::from(info.image_height.max(1))).min(1.0)
}

/// What libjpeg says.
fn message(info: &mut jpeg_common_struct) -> String {
    // SAFETY: libjpeg hands over the structure that `errors` made, which outlives the decoder.
    let format = unsafe { info.err.as_ref() }.and_then(|errors| errors.format_message);
    let Some(format) = format else { return "broken JPEG data".into() };
    let buffer = [const { Cell::new(0_u8) }; MESSAGE];
    // SAFETY: libjpeg writes a text with a zero at its end, of at most `MESSAGE` bytes, whatever the binding says; the cells
    // may be written through a shared reference.
    unsafe { format(info, &*buffer.as_ptr().cast()) };
    let text: Vec<u8> = buffer.iter().map(Cell::get).take_while(|&byte| byte != 0).collect();
    String::from_utf8_lossy(&text).into_owned()
}

/// The bytes of a file. At their end the decoder goes on with an invented end marker; that it had to is noted here, as
/// the sign of a file cut short.
struct JpegSource<'a> {
    rest: &'a [u8],
    ran_out: &'a Cell<bool>,
}

impl BufRead for JpegSource<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.ran_out.set(self.rest.is_empty());
        Ok(self.rest)
    }

    fn consume(&mut self, count: usize) {
        self.rest = &self.rest[count..];
    }
}

impl Read for JpegSource<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.rest.read(out)?;
        self.ran_out.set(count < out.len());
        Ok(count)
    }
}
