//! A page of the beta API's lists, read item by item so that each of them is bounded.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// Items on all pages.
    pub count: u64,
    /// Whether another page follows. Its URL is built by the server from what it believes its name is, and not used.
    pub has_next: bool,
    /// The items, by key ascending.
    pub results: Vec<T>,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Page<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PageSeed::new(Rc::default()).deserialize(deserializer)
    }
}

/// A page whose reader counts the bytes of the item under way: they begin anew with each.
pub(crate) struct PageSeed<T> {
    item_bytes: Rc<Cell<u64>>,
    item: PhantomData<T>,
}

impl<T> PageSeed<T> {
    pub(crate) fn new(item_bytes: Rc<Cell<u64>>) -> Self {
        Self { item_bytes, item: PhantomData }
    }
}

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for PageSeed<T> {
    type Value = Page<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for PageSeed<T> {
    type Value = Page<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page of a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let (mut count, mut has_next, mut results) = (0, false, None);
        while let Some(name) = fields.next_key::<String>()? {
            match name.as_str() {
                "count" => count = fields.next_value()?,
                "next" => has_next = fields.next_value::<Option<IgnoredAny>>()?.is_some(),
                "results" => results = Some(fields.next_value_seed(Items(&self))?),
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
            self.item_bytes.set(0);
        }
        let results = results.ok_or_else(|| A::Error::missing_field("results"))?;
        Ok(Page { count, has_next, results })
    }
}

/// The items of a page.
struct Items<'a, T>(&'a PageSeed<T>);

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for Items<'_, T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for Items<'_, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        self.0.item_bytes.set(0);
        while let Some(item) = items.next_element()? {
            all.push(item);
            self.0.item_bytes.set(0);
        }
        Ok(all)
    }
}
