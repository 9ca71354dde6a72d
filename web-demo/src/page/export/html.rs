//! The evaluation as a page of its own, as it is on show, with its drawings: one file, which needs nothing else.

use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Element, HtmlLinkElement};

use crate::page::site::fetch_text;

/// What can be pressed on the page does nothing in the file, and is not shown.
const NO_CONTROLS: &str = "progress, .take-away { display: none } button { pointer-events: none }";

/// The page's file.
///
/// # Errors
/// Passes on the browser's, as of a style sheet that is not to be had.
pub async fn evaluation_html() -> Result<String, JsValue> {
    let part: Element = document().query_selector("[data-testid=evaluation]")?.ok_or(JsValue::UNDEFINED)?;
    let links = document().query_selector_all("link[rel=stylesheet]")?;
    let mut style = String::new();
    for link in (0..links.length()).filter_map(|i| links.get(i)) {
        let href = link.unchecked_into::<HtmlLinkElement>().href();
        style += &fetch_text(&href).await.map_err(|error| JsValue::from_str(&error.to_string()))?;
    }
    let language = document().document_element().and_then(|root| root.get_attribute("lang")).unwrap_or_default();
    let title = document().title();
    Ok(page(&language, &title, &style, &part.outer_html()))
}

/// `content` is HTML as the browser writes it.
fn page(language: &str, title: &str, style: &str, content: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"{language}\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>{style}\n{NO_CONTROLS}</style>\n<main class=\"page\">{content}</main>\n</html>\n"
    )
}
