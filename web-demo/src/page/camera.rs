//! The camera, and video files: frame after frame becomes a picture, each as soon as the last panel looks at the one before, so that the
//! worker never waits for a frame.

use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_use_document_visibility::use_document_visibility;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    HtmlVideoElement, ImageBitmap, MediaStream, MediaStreamConstraints, MediaStreamTrack, MediaTrackConstraints, Url,
};

use super::film_counts::FilmCounts;
use super::intake;
use super::language::text;
use super::panel::Panel;
use super::state::{Film, State};

/// Frames behind the pace that is shown.
const FRAMES: usize = 10;

/// Until a video file is asked again for a frame that it did not have.
const NEXT_TRY: Duration = Duration::from_millis(30);

/// How frames follow each other.
#[derive(Clone, Copy, PartialEq)]
pub struct Pace {
    /// Frames a second.
    pub rate: f64,
    /// The share of the time in which networks ran: near 1, they alone limit the rate.
    pub busy: f64,
}

/// Where a video file is, in seconds.
#[derive(Clone, Copy, PartialEq)]
pub struct Position {
    pub at: f64,
    /// Infinite for recordings of browsers, which do not say it, until they have been played to their end.
    pub length: f64,
}

impl Position {
    /// Whether it is known how long the file is.
    pub fn is_finite(&self) -> bool {
        self.length.is_finite() && self.length > 0.0
    }
}

/// The camera's state: handles, cheap to copy.
#[derive(Clone, Copy)]
pub struct Camera {
    state: State,
    /// Where frames come from, once it plays.
    video: RwSignal<Option<HtmlVideoElement>, LocalStorage>,
    /// What the pictures are called.
    name: StoredValue<String>,
    stream: StoredValue<Option<MediaStream>, LocalStorage>,
    /// The URL of a video file within this tab.
    url: StoredValue<Option<String>>,
    /// Where the file is that plays; none for the camera.
    pub position: RwSignal<Option<Position>>,
    /// What was found along the file.
    pub counts: FilmCounts,
    /// Whether it is the one that looks away from the visitor.
    pub is_back: RwSignal<bool>,
    /// Whether the last frame stays.
    pub is_paused: RwSignal<bool>,
    /// When the last frames were taken, and how long networks had run until then, in milliseconds.
    taken: StoredValue<Vec<(f64, f64)>>,
    pub pace: RwSignal<Option<Pace>>,
    is_busy: StoredValue<bool>,
}

impl Camera {
    /// A camera that is off.
    pub fn new(state: State) -> Self {
        let camera = Self {
            state,
            video: RwSignal::new_local(None),
            name: StoredValue::new(String::new()),
            stream: StoredValue::new_local(None),
            url: StoredValue::new(None),
            position: RwSignal::new(None),
            counts: FilmCounts::new(state),
            is_back: RwSignal::new(true),
            is_paused: RwSignal::new(false),
            taken: StoredValue::new(Vec::new()),
            pace: RwSignal::new(None),
            is_busy: StoredValue::new(false),
        };
        let visibility = use_document_visibility();
        Effect::new(move || {
            let is_visible = visibility.get() == web_sys::VisibilityState::Visible;
            let State { input, panels, .. } = state;
            let is_behind = |panel: &Panel| input.shown_id().is_some() && !state.is_current(*panel);
            let is_time = !input.is_pending() && panels.shown().iter().filter(|panel| is_behind(panel)).count() <= 1;
            let is_on = input.is_live() && camera.video.read().is_some() && !camera.is_paused.get();
            if is_on && is_time && is_visible {
                camera.take();
            }
        });
        Effect::new(move || {
            if let Some(film) = state.input.film() {
                untrack(|| camera.play(film));
            }
        });
        // A camera goes on meanwhile: it is the moment that counts.
        Effect::new(move || {
            let is_paused = camera.is_paused.get();
            let is_film = camera.url.with_value(Option::is_some);
            if let Some(video) = camera.video.get().filter(|_| is_film) {
                if is_paused { drop(video.pause()) } else { drop(video.play()) }
            }
        });
        // Any other picture ends it.
        Effect::new(move || {
            if !state.input.is_live() {
                untrack(|| camera.release());
            }
        });
        on_cleanup(move || camera.release());
        camera
    }

    /// Asks for the camera and starts.
    pub fn start(self) {
        let state = self.state;
        spawn_local(async move {
            self.release();
            match open(self.is_back.get_untracked()).await {
                Ok((stream, video)) => {
                    self.watch(&stream);
                    self.stream.set_value(Some(stream));
                    self.begin(video, text!("Camera"));
                }
                Err(error) => {
                    state.input.set_live(false);
                    state.notices.tell(refusal(&error));
                }
            }
        });
    }

    /// Plays a video file, over and over.
    fn play(self, film: Film) {
        let state = self.state;
        spawn_local(async move {
            self.release();
            let url = Url::create_object_url_with_blob(&film.blob).unwrap_or_default();
            self.url.set_value(Some(url.clone()));
            match opened(&url).await {
                Ok(video) => {
                    // The visitor has chosen a place: a paused film shows the frame there.
                    let sought = Closure::<dyn Fn()>::new(move || {
                        if self.is_paused.get_untracked() {
                            self.take();
                        }
                    });
                    video.set_onseeked(Some(sought.into_js_value().unchecked_ref()));
                    self.position.set(Some(Position { at: 0.0, length: video.duration() }));
                    self.begin(video, film.name);
                }
                Err(_) => {
                    state.input.set_live(false);
                    self.release();
                    state.notices.tell(text!(
                        "The browser cannot play %{name}. Most browsers play MP4 (H.264) and WebM.",
                        name = film.name
                    ));
                }
            }
        });
    }

    fn begin(self, video: HtmlVideoElement, name: String) {
        self.name.set_value(name);
        self.is_paused.set(false);
        self.state.notices.dismiss();
        self.state.input.set_live(true);
        self.video.set(Some(video));
    }

    /// Goes to a place in the video file, in seconds.
    pub fn seek(self, at: f64) {
        if let Some(video) = self.video.get_untracked() {
            video.set_current_time(at);
        }
    }

    /// Notices when the camera is unplugged or taken away: its last frame would be looked at for ever.
    fn watch(self, stream: &MediaStream) {
        for track in stream.get_tracks() {
            let lost = Closure::once_into_js(move || {
                self.stop();
                self.state.notices.tell(text!(
                    "The camera has gone: it was unplugged, or the browser took it away. Its last picture stays."
                ));
            });
            track.unchecked_into::<MediaStreamTrack>().set_onended(Some(lost.unchecked_ref()));
        }
    }

    /// Gives the camera back; the last frame stays on show.
    pub fn stop(self) {
        self.state.input.set_live(false);
    }

    /// Changes between the cameras on both sides of a phone.
    pub fn turn(self) {
        self.is_back.update(|is_back| *is_back = !*is_back);
        self.start();
    }

    fn release(self) {
        if let Some(stream) = self.stream.get_value() {
            for track in stream.get_tracks() {
                track.unchecked_into::<MediaStreamTrack>().stop();
            }
            self.stream.set_value(None);
        }
        if let Some(video) = self.video.get_untracked() {
            drop(video.pause());
            self.video.set(None);
        }
        if let Some(url) = self.url.get_value() {
            drop(Url::revoke_object_url(&url));
            self.url.set_value(None);
        }
        self.position.set(None);
        self.counts.clear();
        self.taken.set_value(Vec::new());
        self.pace.set(None);
    }

    /// Takes the next frame.
    fn take(self) {
        if self.is_busy.get_value() {
            return;
        }
        let Some(video) = self.video.get_untracked() else { return };
        self.is_busy.set_value(true);
        let was_paused = self.is_paused.get_untracked();
        spawn_local(async move {
            let frame = frame(&video).await;
            self.is_busy.set_value(false);
            // The visitor may have turned to something else meanwhile.
            let is_paused = self.is_paused.get_untracked();
            if !untrack(|| self.state.input.is_live()) || (is_paused && !was_paused) {
                return;
            }
            match frame {
                Ok(bitmap) => {
                    self.count();
                    if self.position.get_untracked().is_some() {
                        self.position.set(Some(Position { at: video.current_time(), length: video.duration() }));
                    }
                    let picture = intake::open_frame(self.state, self.name.get_value(), bitmap);
                    if let Some(Position { at, length }) = self.position.get_untracked().filter(Position::is_finite) {
                        self.counts.remember(picture, at / length);
                    }
                }
                // While it seeks, and when it begins anew, a video file has no frame for a moment.
                Err(_) if self.position.get_untracked().is_some() => set_timeout(move || self.take(), NEXT_TRY),
                Err(error) => {
                    self.stop();
                    self.state.notices.tell(refusal(&error));
                }
            }
        });
    }

    fn count(self) {
        let (now, busy) = (js_sys::Date::now(), untrack(|| self.state.worker.busy_ms()));
        let pace = self.taken.try_update_value(|taken| {
            taken.push((now, busy));
            let surplus = taken.len().saturating_sub(FRAMES);
            taken.drain(..surplus);
            let (first, busy_before) = taken[0];
            let time = (now - first).max(1.0);
            (taken.len() > 1).then(|| Pace {
                rate: 1000.0 * (taken.len() - 1) as f64 / time,
                busy: ((busy - busy_before) / time).min(1.0),
            })
        });
        self.pace.set(pace.flatten());
    }
}

async fn open(is_back: bool) -> Result<(MediaStream, HtmlVideoElement), JsValue> {
    // Pages that come by plain http have no cameras.
    let devices = js_sys::Reflect::get(&window().navigator(), &"mediaDevices".into())?;
    if devices.is_undefined() {
        return Err(js_sys::Error::new("insecure").into());
    }
    let track = MediaTrackConstraints::new();
    // A wish: a laptop has only the one that looks at the visitor.
    track.set_facing_mode(&(if is_back { "environment" } else { "user" }).into());
    let constraints = MediaStreamConstraints::new();
    constraints.set_video(&track);
    let devices = window().navigator().media_devices()?;
    let stream = JsFuture::from(devices.get_user_media_with_constraints(&constraints)?).await?;
    let stream: MediaStream = stream.unchecked_into();
    let video: HtmlVideoElement = document().create_element("video")?.unchecked_into();
    video.set_muted(true);
    // Otherwise a phone would show it over the whole screen.
    video.set_attribute("playsinline", "")?;
    video.set_src_object(Some(&stream));
    JsFuture::from(video.play()?).await?;
    Ok((stream, video))
}

/// A video file, playing.
async fn opened(url: &str) -> Result<HtmlVideoElement, JsValue> {
    let video: HtmlVideoElement = document().create_element("video")?.unchecked_into();
    video.set_muted(true);
    video.set_loop(true);
    video.set_attribute("playsinline", "")?;
    video.set_src(url);
    JsFuture::from(video.play()?).await?;
    Ok(video)
}

async fn frame(video: &HtmlVideoElement) -> Result<ImageBitmap, JsValue> {
    Ok(JsFuture::from(window().create_image_bitmap_with_html_video_element(video)?).await?.unchecked_into())
}

/// Why there is no camera, in a sentence.
fn refusal(error: &JsValue) -> String {
    let name = js_sys::Reflect::get(error, &"name".into()).ok().and_then(|name| name.as_string()).unwrap_or_default();
    match name.as_str() {
        "NotAllowedError" => {
            text!(
                "The browser does not allow the camera. Its settings for this page, beside the address, can change that."
            )
        }
        "NotFoundError" | "OverconstrainedError" => text!("This device has no camera that the browser can use."),
        "NotReadableError" => text!("The camera is in use by another program."),
        _ => text!("The camera cannot be used here. Browsers allow it only to pages that come by https."),
    }
}
