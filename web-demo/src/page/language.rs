//! The page's language. English texts stand in the code; `assets/ko.json` has the Korean ones, by the English, and is fetched where they are wanted.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use leptos::prelude::*;
use leptos::task::spawn_local;
use rust_i18n::Backend;

use super::parts::fetched;
use super::site::{Assets, fetch_text};
use super::state::State;

/// A language that the page speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// The language of the texts in the code.
    #[default]
    English,
    /// 한국어
    Korean,
}

impl Language {
    /// All languages, each with its own name of itself.
    pub const ALL: [(Self, &str); 2] = [(Self::English, "English"), (Self::Korean, "한국어")];

    /// As HTML and the page's address write it (BCP 47).
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
        }
    }

    /// The language of a code such as "ko" or "ko-KR", if the page speaks it.
    pub fn of_code(code: &str) -> Option<Self> {
        let primary = code.split('-').next()?.to_ascii_lowercase();
        Self::ALL.into_iter().map(|(language, _)| language).find(|language| language.code() == primary)
    }

    /// The first of the browser's languages that the page speaks.
    pub fn of_browser() -> Self {
        let languages = window().navigator().languages();
        languages.iter().filter_map(|code| Self::of_code(&code.as_string()?)).next().unwrap_or_default()
    }

    /// Speaks this language as soon as its texts are here.
    pub fn speak(self, state: State) {
        if self.is_known() {
            return self.set();
        }
        spawn_local(async move {
            if fetched(state, self.learn(state.assets)).await.is_some() {
                self.set();
            }
        });
    }

    fn is_known(self) -> bool {
        self == Self::English || KOREAN.get().is_some()
    }

    /// Fetches this language's texts.
    ///
    /// # Errors
    /// Passes on the sentence of [`fetch_text`].
    pub async fn learn(self, assets: Assets) -> Result<(), String> {
        if !self.is_known() {
            let texts = fetch_text(&assets.url("ko.json")).await?;
            let texts = serde_json::from_str(&texts).map_err(|error| error.to_string())?;
            // Whoever was faster has the same.
            let _ = KOREAN.set(texts);
        }
        Ok(())
    }

    fn set(self) {
        rust_i18n::set_locale(self.code());
        if let Some(html) = document().document_element() {
            let _ = html.set_attribute("lang", self.code());
        }
        CURRENT.with(|current| current.set(self));
    }

    /// The language spoken; whatever runs this in a reactive context runs again when it changes.
    pub fn current() -> Self {
        CURRENT.with(|current| current.get())
    }
}

/// The Korean texts by the English, once they were fetched.
static KOREAN: OnceLock<BTreeMap<String, String>> = OnceLock::new();

/// Where rust-i18n finds texts that do not stand in the code.
pub struct FetchedTexts;

impl Backend for FetchedTexts {
    fn available_locales(&self) -> Vec<Cow<'_, str>> {
        Language::ALL.map(|(language, _)| language.code().into()).into()
    }

    fn translate(&self, locale: &str, key: &str) -> Option<Cow<'_, str>> {
        let texts = KOREAN.get().filter(|_| locale == Language::Korean.code())?;
        texts.get(key).map(Cow::from)
    }

    fn messages_for_locale(&self, _: &str) -> Option<Vec<(Cow<'_, str>, Cow<'_, str>)>> {
        None
    }
}

thread_local! {
    static CURRENT: ArcRwSignal<Language> = ArcRwSignal::new(Language::English);
}

/// A text in the visitor's language, by its English wording, which has to be a literal: `text!("%{n} objects", n = 3)`.
///
/// Reactive: a view's closure that calls it is rendered anew when the language changes.
macro_rules! text {
    ($english:literal $($values:tt)*) => {{
        let _ = $crate::page::language::Language::current();
        rust_i18n::t!($english $($values)*).into_owned()
    }};
}
pub(crate) use text;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// The literals of `text!("...")` in the sources under `folder`, as Rust reads them.
    fn texts(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                texts(&path, found);
            } else if !path.ends_with("page/language.rs") {
                let source = fs::read_to_string(&path).unwrap();
                for rest in source.split("text!(").skip(1) {
                    let Some(literal) = rest.trim_start().strip_prefix('"') else { continue };
                    found.insert(unescape(literal));
                }
            }
        }
    }

    /// A string literal up to its closing quote, with the escapes that the page's texts use.
    fn unescape(literal: &str) -> String {
        let mut text = String::new();
        let mut characters = literal.chars();
        while let Some(c) = characters.next() {
            match c {
                '"' => break,
                '\\' => match characters.next() {
                    Some('n') => text.push('\n'),
                    Some('u') => {
                        let code: String = characters.by_ref().skip(1).take_while(|&c| c != '}').collect();
                        text.push(char::from_u32(u32::from_str_radix(&code, 16).unwrap()).unwrap());
                    }
                    // A line's end and the next line's indentation are no part of the text.
                    Some('\n') => {
                        let rest = characters.as_str().trim_start();
                        characters = rest.chars();
                    }
                    Some(other) => text.push(other),
                    None => break,
                },
                other => text.push(other),
            }
        }
        text
    }

    fn placeholders(text: &str) -> BTreeSet<&str> {
        text.split("%{").skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
    }

    fn korean() -> BTreeMap<String, String> {
        serde_json::from_str(include_str!("../../assets/ko.json")).unwrap()
    }

    #[test]
    fn every_text_has_a_translation_and_no_translation_is_left_over() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut used = BTreeSet::new();
        texts(&folder.join("src"), &mut used);
        let korean = korean();
        let translated: BTreeSet<String> = korean.keys().cloned().collect();
        let missing: Vec<_> = used.difference(&translated).collect();
        assert!(missing.is_empty(), "ko.json lacks {missing:#?}");
        let unused: Vec<_> = translated.difference(&used).collect();
        assert!(unused.is_empty(), "nothing says {unused:#?}");
        for english in &used {
            assert_eq!(placeholders(english), placeholders(&korean[english]), "{english}");
        }
    }

    #[test]
    fn texts_are_translated_with_their_values() {
        KOREAN.get_or_init(korean);
        assert_eq!(rust_i18n::t!("%{count} objects", locale = "en", count = 3), "3 objects");
        assert_eq!(rust_i18n::t!("%{count} objects", locale = "ko", count = 3), "물체 3개");
    }

    #[test]
    fn codes_of_browsers_lead_to_languages() {
        assert_eq!(Language::of_code("ko-KR"), Some(Language::Korean));
        assert_eq!(Language::of_code("EN"), Some(Language::English));
        assert_eq!(Language::of_code("de"), None);
    }
}
