//! Pickles of PyTorch checkpoints, as far as tensors need them: nothing in them is executed.
//!
//! candle has such a reader too, but it allocates what a file says, copies whatever is mentioned twice, and panics at
//! tuples that are shorter than it expects. Here objects are numbers of a list that grows by one an instruction.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};

/// An object, by its place in [`Pickle::objects`].
pub(super) type Id = usize;

/// What is known about an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Object {
    Text(String),
    Integer(i64),
    Tuple(Vec<Id>),
    /// A dictionary's entries.
    Dict(Vec<(Id, Id)>),
    /// A class or function, with its module in front.
    Global(String),
    /// What a function makes of a tuple of arguments.
    Call {
        function: Id,
        arguments: Id,
    },
    /// What lies outside of the pickle: a tensor's numbers.
    Outside(Id),
    /// Whatever no tensor is made of.
    Other,
    /// Where a tuple or the like begins.
    Mark,
}

/// The objects of a pickle.
#[derive(Debug, Default)]
pub(super) struct Pickle {
    objects: Vec<Object>,
    /// The object that was pickled.
    pub(super) root: Id,
}

impl Pickle {
    /// Reads a pickle.
    ///
    /// # Errors
    /// Fails where it ends too early or has an instruction that PyTorch's pickles do not have.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader { bytes, objects: Vec::new(), stack: Vec::new(), memo: HashMap::new() };
        while reader.step()? {}
        let root = reader.pop()?;
        Ok(Self { objects: reader.objects, root })
    }

    pub(super) fn get(&self, id: Id) -> &Object {
        &self.objects[id]
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn size(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Object::Integer(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Object::Tuple(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn dict(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.get(id) {
            Object::Dict(entries) => Some(entries),
            _ => None,
        }
    }

    pub(super) fn global(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Object::Global(name) => Some(name),
            _ => None,
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    objects: Vec<Object>,
    stack: Vec<Id>,
    memo: HashMap<u32, Id>,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).context("the pickle ends too early")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into()?)
    }

    fn length4(&mut self) -> Result<usize> {
        Ok(u32::from_le_bytes(self.number()?) as usize)
    }

    fn length8(&mut self) -> Result<usize> {
        Ok(usize::try_from(u64::from_le_bytes(self.number()?))?)
    }

    fn line(&mut self) -> Result<String> {
        let end = self.bytes.iter().position(|&byte| byte == b'\n').context("the pickle ends too early")?;
        let line = self.take(end + 1)?;
        Ok(String::from_utf8_lossy(&line[..end]).into_owned())
    }

    fn push(&mut self, object: Object) {
        self.objects.push(object);
        self.stack.push(self.objects.len() - 1);
    }

    fn pop(&mut self) -> Result<Id> {
        self.stack.pop().context("the pickle takes what is not there")
    }

    /// What lies above the last mark.
    fn pop_marked(&mut self) -> Result<Vec<Id>> {
        let mark = self.stack.iter().rposition(|&id| self.objects[id] == Object::Mark);
        let items = self.stack.split_off(mark.context("the pickle ends what has not begun")?);
        Ok(items[1..].to_vec())
    }

    /// Appends entries to the dictionary on the top. What else may be there has none that count.
    fn extend(&mut self, items: &[Id]) -> Result<()> {
        let &top = self.stack.last().context("the pickle takes what is not there")?;
        if let Object::Dict(entries) = &mut self.objects[top] {
            entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        }
        Ok(())
    }

    fn text(&mut self, length: usize) -> Result<()> {
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.push(Object::Text(text));
        Ok(())
    }

    /// Skips bytes that stand for something else than a text.
    fn skip(&mut self, length: usize) -> Result<()> {
        self.take(length)?;
        self.push(Object::Other);
        Ok(())
    }

    fn tuple(&mut self, count: usize) -> Result<()> {
        let begin = self.stack.len().checked_sub(count).context("the pickle takes what is not there")?;
        let items = self.stack.split_off(begin);
        self.push(Object::Tuple(items));
        Ok(())
    }

    fn remember(&mut self, key: u32) -> Result<()> {
        let &top = self.stack.last().context("the pickle takes what is not there")?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<()> {
        let &id = self.memo.get(&key).context("the pickle mentions what is not there")?;
        self.stack.push(id);
        Ok(())
    }

    fn call(&mut self) -> Result<()> {
        let arguments = self.pop()?;
        let function = self.pop()?;
        // Ordered dictionaries are filled after they are made.
        let is_dict = matches!(&self.objects[function], Object::Global(name)
            if ["collections.OrderedDict", "collections.defaultdict", "builtins.dict"].contains(&name.as_str()));
        self.push(if is_dict { Object::Dict(Vec::new()) } else { Object::Call { function, arguments } });
        Ok(())
    }

    /// Follows one instruction; false at the last one. Their names are those of Python's `pickletools`.
    fn step(&mut self) -> Result<bool> {
        let [instruction] = self.number()?;
        match instruction {
            b'.' => return Ok(false),
            0x80 => {
                self.take(1)?;
            }
            // FRAME
            0x95 => {
                self.take(8)?;
            }
            b'(' => self.push(Object::Mark),
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_marked()?;
            }
            b'2' => {
                let top = *self.stack.last().context("the pickle takes what is not there")?;
                self.stack.push(top);
            }
            // Integers
            b'K' => {
                let [value] = self.number()?;
                self.push(Object::Integer(value.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.number()?);
                self.push(Object::Integer(value.into()));
            }
            b'J' => {
                let value = i32::from_le_bytes(self.number()?);
                self.push(Object::Integer(value.into()));
            }
            0x8a => {
                let [length] = self.number()?;
                let digits = self.take(length.into())?;
                let mut bytes = [if digits.last().is_some_and(|&last| last > 127) { 0xff } else { 0 }; 8];
                let fits = digits.len() <= bytes.len();
                if fits {
                    bytes[..digits.len()].copy_from_slice(digits);
                }
                self.push(if fits { Object::Integer(i64::from_le_bytes(bytes)) } else { Object::Other });
            }
            // Texts
            b'X' => {
                let length = self.length4()?;
                self.text(length)?;
            }
            0x8c | b'U' => {
                let [length] = self.number()?;
                self.text(length.into())?;
            }
            0x8d => {
                let length = self.length8()?;
                self.text(length)?;
            }
            b'T' => {
                let length = self.length4()?;
                self.text(length)?;
            }
            // Bytes, long integers and reals
            b'B' | 0x8b => {
                let length = self.length4()?;
                self.skip(length)?;
            }
            b'C' => {
                let [length] = self.number()?;
                self.skip(length.into())?;
            }
            0x8e | 0x96 => {
                let length = self.length8()?;
                self.skip(length)?;
            }
            b'G' => self.skip(8)?,
            b'N' | 0x88 | 0x89 | b']' | 0x8f => self.push(Object::Other),
            // Tuples, dictionaries; lists and sets, whose elements do not count
            b')' => self.tuple(0)?,
            0x85..=0x87 => self.tuple(usize::from(instruction) - 0x84)?,
            b't' => {
                let items = self.pop_marked()?;
                self.push(Object::Tuple(items));
            }
            b'}' => self.push(Object::Dict(Vec::new())),
            b'd' => {
                let items = self.pop_marked()?;
                self.push(Object::Dict(Vec::new()));
                self.extend(&items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.extend(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_marked()?;
                self.extend(&items)?;
            }
            b'l' | 0x91 => {
                self.pop_marked()?;
                self.push(Object::Other);
            }
            b'a' => {
                self.pop()?;
            }
            b'e' | 0x90 => {
                self.pop_marked()?;
            }
            // Classes and what is made by them
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Object::Global(format!("{module}.{name}")));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |id: Id| match &self.objects[id] {
                    Object::Text(text) => text.clone(),
                    _ => String::new(),
                };
                let global = format!("{}.{}", text(module), text(name));
                self.push(Object::Global(global));
            }
            b'R' | 0x81 => self.call()?,
            // The state of an object: a dictionary's own attributes are no entries.
            b'b' => {
                self.pop()?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Object::Outside(id));
            }
            // What is mentioned again
            b'q' => {
                let [key] = self.number()?;
                self.remember(key.into())?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.number()?);
                self.remember(key)?;
            }
            0x94 => self.remember(u32::try_from(self.memo.len())?)?,
            b'h' => {
                let [key] = self.number()?;
                self.recall(key.into())?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.number()?);
                self.recall(key)?;
            }
            other => bail!("the pickle has an instruction ({other:#04x}) that PyTorch does not write"),
        }
        ensure!(self.stack.len() <= 1 << 24, "the pickle piles up what it does not use");
        Ok(true)
    }
}
