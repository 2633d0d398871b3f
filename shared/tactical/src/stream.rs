//! A list read item by item while it arrives: bounded memory whatever its length, and an error unless its end was seen.
//!
//! Bytes go through a short channel to a blocking thread, where `serde_json` reads from it; each item goes through a
//! short channel to the caller. A caller that does not keep up stops the reading of bytes, so the server waits.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, pending};
use std::rc::Rc;

use serde::Deserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, SeqAccess, Visitor};
use tokio::sync::mpsc;
use tokio::time::timeout_at;
use tracing::Instrument;

use crate::body::{Answer, millis};
use crate::page::PageSeed;
use crate::refusal::host;
use crate::source::Source;
use crate::{Error, Page, Wait};

/// Chunks (of up to some hundred KB) between the network and the parser.
const CHUNKS_AHEAD: usize = 4;
/// Items between the parser and the caller.
const ITEMS_AHEAD: usize = 64;

/// An item, the list's end, or why it has none.
type Step<T> = Result<Option<T>, Error>;

/// The items of a list. Dropping it gives the request up.
///
/// While the answer arrives it holds one of the integration's two places: whoever waits for further requests of the same
/// integration in between can wait in vain. The total timeout runs on while the caller is busy with an item.
#[derive(Debug)]
pub struct Stream<T> {
    steps: mpsc::Receiver<Step<T>>,
    endpoint: &'static str,
    is_ended: bool,
}

impl<T: DeserializeOwned + Send + 'static> Stream<T> {
    /// Starts to read; the answer's head has come with a 2xx.
    pub(crate) fn new(answer: Answer) -> Result<Self, Error> {
        let answer = no_page(answer)?;
        let endpoint = answer.endpoint();
        let (out, steps) = mpsc::channel(ITEMS_AHEAD);
        let parser_out = out.clone();
        let parse = move |source: &mut Source| send_items(source, &parser_out);
        let span = answer.exchange.span.clone();
        let work = async move {
            let end = match pump(answer, out.closed(), parse).await {
                Ok(()) => Ok(None),
                Err(Stopped::Failed(error)) => Err(error),
                Err(Stopped::GivenUp) => return,
            };
            // a caller that went away has no need of the end
            let _ = out.send(end).await;
        };
        tokio::spawn(work.instrument(span));
        Ok(Self { steps, endpoint, is_ended: false })
    }

    /// The next item; `None` once the list's end was seen, and after an error.
    ///
    /// # Errors
    /// The list broke off or cannot be read: what came before is not the whole list.
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        if self.is_ended {
            return None;
        }
        match self.steps.recv().await {
            Some(Ok(Some(item))) => Some(Ok(item)),
            Some(Ok(None)) => {
                self.is_ended = true;
                None
            }
            Some(Err(error)) => {
                self.is_ended = true;
                Some(Err(error))
            }
            // the reading task ended without a word: the runtime is shutting down
            None => {
                self.is_ended = true;
                Some(Err(Error::Truncated { endpoint: self.endpoint }))
            }
        }
    }

    /// All items at once, for lists that are small.
    ///
    /// # Errors
    /// As [`Stream::next`]; then the items before it are dropped.
    pub async fn collect(mut self) -> Result<Vec<T>, Error> {
        let mut items = Vec::new();
        while let Some(item) = self.next().await {
            items.push(item?);
        }
        Ok(items)
    }

    /// Items that were read and not taken yet; what a test of the memory looks at.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.steps.len()
    }
}

/// A large answer that is one value: parsed while it arrives, never held as text.
pub(crate) async fn large<T: DeserializeOwned + Send + 'static>(answer: Answer) -> Result<T, Error> {
    let parse = |source: &mut Source| {
        source.item_bytes_max = u64::MAX;
        let result = serde_json::from_reader(&mut *source);
        result.map_err(|error| Stopped::Failed(source.fault_of(&error)))
    };
    whole(answer, parse).await
}

/// A page of the beta API, parsed in the same way; each of its items is bounded, and so is all of it.
pub(crate) async fn page<T: DeserializeOwned + Send + 'static>(answer: Answer) -> Result<Page<T>, Error> {
    let parse = |source: &mut Source| {
        let seed = PageSeed::new(source.item_bytes());
        let mut json = serde_json::Deserializer::from_reader(&mut *source);
        let result = seed.deserialize(&mut json).and_then(|page| json.end().map(|()| page));
        drop(json);
        result.map_err(|error| Stopped::Failed(source.fault_of(&error)))
    };
    whole(answer, parse).await
}

async fn whole<T: Send + 'static>(
    answer: Answer,
    parse: impl FnOnce(&mut Source) -> Result<T, Stopped> + Send + 'static,
) -> Result<T, Error> {
    let mut answer = no_page(answer)?;
    answer.limits.body_bytes_max = answer.limits.page_bytes_max;
    let endpoint = answer.endpoint();
    pump(answer, pending(), parse).await.map_err(|stopped| match stopped {
        Stopped::Failed(error) => error,
        Stopped::GivenUp => Error::Truncated { endpoint },
    })
}

fn no_page(answer: Answer) -> Result<Answer, Error> {
    if !answer.is_page() {
        return Ok(answer);
    }
    let error = Error::WrongHost { host: host(&answer.url) };
    answer.exchange.finish(Some(&error));
    Err(error)
}

/// Why the reading stopped before its end.
pub(crate) enum Stopped {
    /// Nobody wants the rest.
    GivenUp,
    /// The answer is at fault.
    Failed(Error),
}

/// Feeds an answer's bytes to a parser on a blocking thread, and tells the exchange how it went.
async fn pump<R: Send + 'static>(
    mut answer: Answer,
    given_up: impl Future<Output = ()>,
    parse: impl FnOnce(&mut Source) -> Result<R, Stopped> + Send + 'static,
) -> Result<R, Stopped> {
    let (feed, chunks) = mpsc::channel(CHUNKS_AHEAD);
    let (endpoint, url, item_bytes_max) = (answer.endpoint(), answer.url.clone(), answer.limits.item_bytes_max);
    let parser = tokio::task::spawn_blocking(move || parse(&mut Source::new(chunks, endpoint, url, item_bytes_max)));
    let fed = tokio::select! {
        fed = feed_all(&mut answer, feed) => fed,
        () = given_up => return Err(Stopped::GivenUp),
    };
    // the connection and the place are free before the parser, which waits for its reader, is done
    let Answer { response, mut exchange, .. } = answer;
    drop(response);
    if let Some(pass) = &mut exchange.pass {
        pass.leave();
    }
    let parsed = parser.await.unwrap_or_else(|error| {
        Err(Stopped::Failed(Error::Unreadable { endpoint, reason: format!("the parser failed: {error}") }))
    });
    // a body that broke is the cause, the parser only saw its end
    let result = fed.map_err(Stopped::Failed).and(parsed);
    match &result {
        Ok(_) => exchange.finish(None),
        Err(Stopped::Failed(error)) => exchange.finish(Some(error)),
        Err(Stopped::GivenUp) => drop(exchange),
    }
    result
}

/// Until the body's end, its fault, or until the parser has had enough.
async fn feed_all(answer: &mut Answer, feed: mpsc::Sender<bytes::Bytes>) -> Result<(), Error> {
    while let Some(chunk) = answer.chunk(answer.limits.body_bytes_max).await? {
        let sent = timeout_at(answer.deadline, feed.send(chunk)).await;
        let after_ms = millis(answer.limits.total_timeout);
        let sent = sent.map_err(|_| Error::Timeout { endpoint: answer.endpoint(), wait: Wait::Total, after_ms })?;
        if sent.is_err() {
            break;
        }
    }
    Ok(())
}

/// Reads `[item, item, …]` to its end, and nothing behind it.
fn send_items<T: DeserializeOwned>(source: &mut Source, out: &mpsc::Sender<Step<T>>) -> Result<(), Stopped> {
    let item_bytes = source.item_bytes();
    let mut is_given_up = false;
    let list = List { item_bytes, out, is_given_up: &mut is_given_up };
    let mut json = serde_json::Deserializer::from_reader(&mut *source);
    let result = list.deserialize(&mut json).and_then(|()| json.end());
    drop(json);
    match result {
        Ok(()) => Ok(()),
        Err(_) if is_given_up => Err(Stopped::GivenUp),
        Err(error) => Err(Stopped::Failed(source.fault_of(&error))),
    }
}

/// The list as a seed: each item leaves as soon as it is read.
struct List<'a, T> {
    item_bytes: Rc<Cell<u64>>,
    out: &'a mpsc::Sender<Step<T>>,
    is_given_up: &'a mut bool,
}

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for List<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for List<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.item_bytes.set(0);
        while let Some(item) = items.next_element::<T>()? {
            if self.out.blocking_send(Ok(Some(item))).is_err() {
                *self.is_given_up = true;
                return Err(A::Error::custom("nobody takes the items"));
            }
            self.item_bytes.set(0);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
