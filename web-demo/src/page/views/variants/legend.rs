//! What colours, shapes and marks mean.

use leptos::prelude::*;

use super::network::Tint;
use crate::page::language::text;
use crate::page::plan::Kind;

/// Kinds of layers, or the scale of shares; and the marks.
#[component]
pub fn Legend(tint: RwSignal<Tint>) -> impl IntoView {
    view! {
        <ul class="legend" aria-label=text!("Legend")>
            {move || match tint.get() {
                Tint::Kind => Kind::ALL.map(kind).collect_view().into_any(),
                Tint::Flops => scale(text!("share of the arithmetic: from none to 6 % or more")).into_any(),
                Tint::Time => scale(text!("share of the time: from none to 6 % or more")).into_any(),
            }}
            <li><span class="key changed" aria-hidden="true"></span>{text!("changed against the baseline")}</li>
            <li><span class="key added" aria-hidden="true">"+"</span>{text!("new")}</li>
        </ul>
    }
}

fn scale(text: String) -> impl IntoView {
    view! { <li><span class="key scale" aria-hidden="true"></span>{text}</li> }
}

fn kind(kind: Kind) -> impl IntoView {
    let (sign, text) = match kind {
        Kind::Pointwise => ("1", text!("1\u{d7}1 convolution: mixes channels")),
        Kind::Depthwise => ("7", text!("depthwise: looks around, channel by channel; its width")),
        Kind::Mixed => ("3\u{2013}9", text!("mixed depthwise: several widths")),
        Kind::Dense => ("3", text!("full convolution")),
        Kind::Pool => ("5", text!("greatest value nearby (\u{3bc}: mean)")),
        Kind::Move => ("\u{2016}", text!("\u{2016} concatenation, \u{2191} upsampling, \u{25a6} space to depth")),
        Kind::Elementwise => ("+", text!("+ sum, \u{d7} product")),
        Kind::Picture => ("in", text!("the picture")),
    };
    view! { <li><span class=format!("key {}", kind.class()) aria-hidden="true">{sign}</span>{text}</li> }
}
