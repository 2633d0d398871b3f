//! The parser's end of an answer: bytes that come through a channel, read like a file, an item's size bounded.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;
use url::Url;

use crate::Error;
use crate::body::unreadable;

/// Lives on the parser's thread and blocks it while no bytes are there.
pub(crate) struct Source {
    chunks: mpsc::Receiver<Bytes>,
    chunk: Bytes,
    endpoint: &'static str,
    url: Url,
    /// The first byte that is no white space: a page begins with `<`.
    first: Option<u8>,
    item_bytes: Rc<Cell<u64>>,
    pub(crate) item_bytes_max: u64,
}

impl Source {
    pub(crate) fn new(chunks: mpsc::Receiver<Bytes>, endpoint: &'static str, url: Url, item_bytes_max: u64) -> Self {
        let item_bytes = Rc::new(Cell::new(0));
        Self { chunks, chunk: Bytes::new(), endpoint, url, first: None, item_bytes, item_bytes_max }
    }

    /// Counts the bytes of the item under way; set it to 0 where an item begins.
    pub(crate) fn item_bytes(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.item_bytes)
    }

    /// What an error of the parser means.
    pub(crate) fn fault_of(&self, error: &serde_json::Error) -> Error {
        if error.is_io() {
            return Error::TooLarge { endpoint: self.endpoint, bytes_max: self.item_bytes_max, is_item: true };
        }
        unreadable(self.endpoint, &self.url, error, self.first.as_ref())
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            let Some(chunk) = self.chunks.blocking_recv() else { return Ok(0) };
            if self.first.is_none() {
                self.first = chunk.iter().copied().find(|byte| !byte.is_ascii_whitespace());
            }
            self.chunk = chunk;
        }
        let length = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..length]);
        let item_bytes = self.item_bytes.get() + length as u64;
        self.item_bytes.set(item_bytes);
        // the only error that this reader knows
        if item_bytes > self.item_bytes_max { Err(io::Error::other("item too large")) } else { Ok(length) }
    }
}
