//! A stream that loses its patience: soon with strangers and within a head, later with a known sender that idles.
//!
//! hyper has one timeout for both. Three seconds between requests would make a reverse proxy lose webhooks: it sends
//! one on a connection that we are just closing, and does not repeat a POST. A long wait for everybody would let
//! strangers hold all connections.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What a connection is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Turn {
    /// A request of somebody who is not known.
    Stranger,
    /// The next request of a sender who is.
    Known,
    /// The rest of a request's head.
    Head,
    /// Us.
    Ours,
}

impl Turn {
    const ALL: [Self; 4] = [Self::Stranger, Self::Known, Self::Head, Self::Ours];
}

/// Tells the stream whose turn it is; shared with the service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<(AtomicU8, AtomicWaker)>);

impl Turns {
    pub(crate) fn set(&self, turn: Turn) {
        self.0.0.store(turn as u8, Ordering::Release);
        // hyper has asked for bytes during our turn and does not ask again by itself: without a wake no timer would run
        self.0.1.wake();
    }

    fn get(&self) -> Turn {
        Turn::ALL[usize::from(self.0.0.load(Ordering::Acquire))]
    }
}

/// The stream.
pub(crate) struct Patient<S> {
    stream: S,
    turns: Turns,
    seen: Turn,
    timer: Pin<Box<Sleep>>,
    head_timeout: Duration,
    idle_timeout: Duration,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, turns: Turns, head_timeout: Duration, idle_timeout: Duration) -> Self {
        let timer = Box::pin(tokio::time::sleep(head_timeout));
        Self { stream, turns, seen: Turn::Stranger, timer, head_timeout, idle_timeout }
    }

    /// Starts the time that this turn has.
    fn begin(&mut self, turn: Turn) {
        self.seen = turn;
        let limit = if turn == Turn::Known { self.idle_timeout } else { self.head_timeout };
        self.timer.as_mut().reset(Instant::now() + limit);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.turns.0.1.register(cx.waker());
        let turn = self.turns.get();
        if turn != self.seen {
            self.begin(turn);
        }
        let filled = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Pending if turn != Turn::Ours => {
                ready!(self.timer.as_mut().poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Ready(Ok(())) if buffer.filled().len() > filled => {
                if matches!(turn, Turn::Stranger | Turn::Known) {
                    self.turns.set(Turn::Head);
                    self.begin(Turn::Head);
                }
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
}
