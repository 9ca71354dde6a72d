//! How the networks run here: a quiet sign, and what it means.

use leptos::prelude::*;

use crate::page::language::text;
use crate::page::state::{Build, State};

/// Threads and instructions; a click explains them.
#[component]
pub fn BuildSign() -> impl IntoView {
    let state = State::get();
    let of = move |words: fn(&Build) -> String| state.build.read().as_ref().map(words);
    view! {
        <details class="build">
            <summary data-testid="build">{move || of(sign).unwrap_or("\u{a0}".into())}</summary>
            <p data-testid="build-explained">{move || of(explanation)}</p>
        </details>
    }
}

fn sign(build: &Build) -> String {
    let simd = if build.relaxed_simd { text!("relaxed SIMD") } else { "SIMD".into() };
    match build.threads {
        1 => text!("1 thread \u{b7} %{simd}", simd = simd),
        threads => text!("%{threads} threads \u{b7} %{simd}", threads = threads, simd = simd),
    }
}

/// How the networks run, and why not better.
pub fn explanation(build: &Build) -> String {
    let simd = if build.relaxed_simd {
        text!(
            "The networks run in WebAssembly on four numbers at a time, multiplying and adding them in one instruction."
        )
    } else {
        text!("The networks run in WebAssembly on four numbers at a time.")
    };
    let threads = match build.threads {
        1 => text!("There is one thread. %{why}", why = build.why),
        threads => text!("%{threads} threads share each network's work.", threads = threads),
    };
    format!("{simd} {threads}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_has_a_reason() {
        let build = Build { threads: 1, relaxed_simd: false, why: "The page's address asks for it.".into() };
        assert_eq!(sign(&build), "1 thread \u{b7} SIMD");
        assert!(explanation(&build).ends_with("There is one thread. The page's address asks for it."));
        let build = Build { threads: 3, relaxed_simd: true, why: String::new() };
        assert_eq!(sign(&build), "3 threads \u{b7} relaxed SIMD");
        assert!(explanation(&build).ends_with("3 threads share each network's work."));
    }
}
