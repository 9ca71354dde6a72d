//! The switch between languages.

use leptos::prelude::*;

use crate::page::language::{Language, text};

/// A button a language.
#[component]
pub fn LanguageSwitch() -> impl IntoView {
    view! {
        <div class="languages" role="group" aria-label=move || text!("Language")>
            {Language::ALL.map(|(language, name)| view! {
                <button
                    type="button"
                    class="plain"
                    lang=language.code()
                    aria-pressed=move || (Language::current() == language).to_string()
                    data-testid=format!("language-{}", language.code())
                    on:click=move |_| language.speak()
                >{name}</button>
            })}
        </div>
    }
}
