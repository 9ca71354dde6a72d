//! The head of the page: what it is for, the ways to its views, the languages, and how the networks run.

use leptos::prelude::*;

use super::build::BuildSign;
use crate::page::language::{Language, text};
use crate::page::state::{PageView, State};

/// The head of all views.
#[component]
pub fn Header() -> impl IntoView {
    view! {
        <header class="top">
            <h1>"YOLOX-nano variants"</h1>
            <p>
                <span class="question">{move || text!("Which variant finds more on your picture, and at what cost?")}" "</span>
                <strong class="private">{move || text!("Nothing leaves your device.")}</strong>
            </p>
            <ViewSwitch/>
            <LanguageSwitch/>
            <BuildSign/>
        </header>
    }
}

/// A button a view.
#[component]
fn ViewSwitch() -> impl IntoView {
    let state = State::get();
    let name = |view: PageView| match view {
        PageView::Compare => text!("Compare"),
        PageView::Evaluation => text!("Evaluation"),
        PageView::Benchmark => text!("Benchmark"),
        PageView::Variants => text!("Variants"),
    };
    view! {
        <nav class="views" aria-label=move || text!("Views")>
            {PageView::ALL.map(|view| view! {
                <button
                    type="button"
                    class="plain"
                    aria-current=move || (state.display.view.get() == view).then_some("page")
                    data-testid=format!("view-{}", view.name())
                    on:click=move |_| state.display.view.set(view)
                >{move || name(view)}</button>
            })}
        </nav>
    }
}

/// A button a language.
#[component]
fn LanguageSwitch() -> impl IntoView {
    let state = State::get();
    view! {
        <div class="languages" role="group" aria-label=move || text!("Language")>
            {Language::ALL.map(|(language, name)| view! {
                <button
                    type="button"
                    class="plain"
                    lang=language.code()
                    aria-pressed=move || (Language::current() == language).to_string()
                    data-testid=format!("language-{}", language.code())
                    on:click=move |_| language.speak(state)
                >{name}</button>
            })}
        </div>
    }
}
