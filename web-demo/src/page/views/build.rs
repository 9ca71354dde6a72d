//! How the networks run here: a quiet sign, and what it means.

use leptos::prelude::*;

use crate::page::language::text;
use crate::page::state::{State, WorkerBuild};

/// Threads and instructions; a click explains them.
#[component]
pub fn BuildSign() -> impl IntoView {
    let state = State::get();
    let of = move |words: fn(&WorkerBuild) -> String| state.worker.build().as_ref().map(words);
    view! {
        <details class="build">
            <summary data-testid="build">{move || of(sign).unwrap_or("\u{a0}".into())}</summary>
            <p data-testid="build-explained">{move || of(explanation)}</p>
        </details>
    }
}

fn sign(build: &WorkerBuild) -> String {
    let simd = if build.relaxed_simd { text!("relaxed SIMD") } else { "SIMD".into() };
    match build.threads {
        1 => text!("1 thread \u{b7} %{simd}", simd = simd),
        threads => text!("%{threads} threads \u{b7} %{simd}", threads = threads, simd = simd),
    }
}

/// How the networks run, and why not better.
pub fn explanation(build: &WorkerBuild) -> String {
    let simd = if build.relaxed_simd {
        text!(
            "The networks run in WebAssembly on four numbers at a time, multiplying and adding them in one instruction."
        )
    } else {
        text!("The networks run in WebAssembly on four numbers at a time.")
    };
    let threads = match build.threads {
        1 => text!("There is one thread. %{why}", why = obstacle(&build.why)),
        threads => text!("%{threads} threads share each network's work.", threads = threads),
    };
    format!("{simd} {threads}")
}

/// The sentence for a word of `assets/start-worker.js`'s.
fn obstacle(word: &str) -> String {
    match word {
        "asked" => text!("The page's address asks for it."),
        "insecure" => text!("Browsers allow threads only to pages that come by https."),
        "not-isolated" => text!(
            "Browsers allow threads only to pages that are isolated from other sites, for which this server would have to send \
             the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp."
        ),
        "not-built" => text!("This site was built without threads."),
        "old-browser" => {
            text!("This browser lacks relaxed SIMD or Atomics.waitAsync, which the build with threads needs.")
        }
        "one-core" => text!("The browser reports one processor core."),
        "not-started" => text!("The browser has not started the others."),
        other => {
            let reason = other.strip_prefix("failed: ").unwrap_or(other);
            text!("The build with threads failed (%{reason}).", reason = reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_script_has_a_sentence() {
        let script = include_str!("../../../assets/start-worker.js");
        let words: Vec<&str> = script.split("return \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(words.len(), 6, "{words:?}");
        for word in words {
            assert!(!obstacle(word).contains(&format!("({word})")), "nothing is said for {word}");
        }
    }

    #[test]
    fn one_thread_has_a_reason() {
        let build = WorkerBuild { threads: 1, relaxed_simd: false, why: "asked".into() };
        assert_eq!(sign(&build), "1 thread \u{b7} SIMD");
        assert!(explanation(&build).ends_with("There is one thread. The page's address asks for it."));
        let failed = WorkerBuild { why: "failed: out of memory".into(), ..build };
        assert!(explanation(&failed).ends_with("The build with threads failed (out of memory)."));
        let build = WorkerBuild { threads: 3, relaxed_simd: true, why: String::new() };
        assert_eq!(sign(&build), "3 threads \u{b7} relaxed SIMD");
        assert!(explanation(&build).ends_with("3 threads share each network's work."));
    }
}
