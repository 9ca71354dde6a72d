//! A YAML text as a tree whose nodes know their lines; scalars are texts, whatever they look like: a class may be called `8` or
//! `no`.

use anyhow::{Result, anyhow, bail};
use saphyr_parser::{Event, Parser};

/// A part of the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// From 1.
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    List(Vec<Node>),
    /// In the text's order.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// Reads the text's first document; `None` where there is none.
    pub(super) fn parse(text: &str) -> Result<Option<Self>> {
        // Lists and maps that are not closed yet, with what they hold so far: of maps keys and values in turn.
        let mut open: Vec<(usize, bool, Vec<Self>)> = Vec::new();
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| {
                anyhow!("line {}: this is no YAML ({}): mend it", error.marker().line(), error.info())
            })?;
            let line = span.start.line();
            let done = match event {
                Event::Scalar(text, ..) => Self { line, value: Value::Text(text.into_owned()) },
                Event::SequenceStart(..) | Event::MappingStart(..) => {
                    open.push((line, matches!(event, Event::MappingStart(..)), Vec::new()));
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let (line, is_map, parts) = open.pop().expect("the parser pairs beginnings and ends");
                    let value = if is_map { Value::Map(pairs(parts)) } else { Value::List(parts) };
                    Self { line, value }
                }
                Event::Alias(_) => bail!("line {line}: references (*name) are not understood: write it out"),
                _ => continue,
            };
            match open.last_mut() {
                Some((.., parts)) => parts.push(done),
                None => return Ok(Some(done)),
            }
        }
        Ok(None)
    }

    /// The value of a key, where this is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.map()?.iter().find(|(known, _)| known.text() == Some(key)).map(|(_, value)| value)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    pub(super) fn map(&self) -> Option<&[(Self, Self)]> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }
}

fn pairs(parts: Vec<Node>) -> Vec<(Node, Node)> {
    let mut parts = parts.into_iter();
    std::iter::from_fn(|| Some((parts.next()?, parts.next()?))).collect()
}
