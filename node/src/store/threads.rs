//! The threads behind a store, and the queues in front of them.

use std::{
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot};

use super::{
    OpenError, Options, StoreError, Written,
    error::OpenReason,
    job::{Job, WriteJob, Writing},
    reader::{ReadJob, Reader},
    shared::Shared,
    writer::Writer,
};

/// What a thread takes off its queue.
pub(super) enum Message<T> {
    /// A job, and its place in the queue, which is free again once the job is taken.
    Job(T, OwnedSemaphorePermit),
    /// The end.
    Stop,
}

/// A bounded queue whose senders wait without a thread, and not too many of them.
struct Lane<T> {
    what: &'static str,
    places: Arc<Semaphore>,
    /// Who may wait for a place.
    waiting: Semaphore,
    queue: Sender<Message<T>>,
}

impl<T> Lane<T> {
    fn new(
        what: &'static str,
        places: usize,
        waiting: usize,
        threads: usize,
    ) -> (Self, Receiver<Message<T>>) {
        // Room for the jobs that hold a place and for one stop per thread: sending never blocks.
        let (queue, jobs) = bounded(places + threads);
        let (places, waiting) = (Semaphore::new(places), Semaphore::new(waiting));
        (Self { what, places: Arc::new(places), waiting, queue }, jobs)
    }

    async fn send(&self, job: T) -> Result<(), StoreError> {
        let place = self.place().await?;
        self.queue.try_send(Message::Job(job, place)).map_err(|_| StoreError::Closed)
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let places = || Arc::clone(&self.places);
        match places().try_acquire_owned() {
            Ok(place) => Ok(place),
            Err(TryAcquireError::Closed) => Err(StoreError::Closed),
            Err(TryAcquireError::NoPermits) => {
                let turn = self.waiting.try_acquire();
                let _turn = turn.map_err(|_| StoreError::Overloaded { what: self.what })?;
                places().acquire_owned().await.map_err(|_| StoreError::Closed)
            }
        }
    }

    fn stop(&self, threads: usize) {
        self.places.close();
        for _ in 0..threads {
            // Fails only when the threads are gone already.
            let _ = self.queue.try_send(Message::Stop);
        }
    }
}

/// What does the work of a store without threads, on that of whoever asks.
struct Inline {
    /// `None` once the store is closed.
    writer: Mutex<Option<Writer>>,
    reader: Mutex<Reader>,
}

/// The threads of a store; dropping it joins them.
pub(super) struct Threads {
    shared: Arc<Shared>,
    reads: Lane<ReadJob>,
    writes: Lane<Box<dyn WriteJob>>,
    readers: Mutex<Vec<JoinHandle<()>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    inline: Option<Inline>,
}

/// Opens the file on the writer's thread, then starts the readers.
pub(super) async fn start(options: Options, shared: &Arc<Shared>) -> Result<Threads, OpenError> {
    let path = options.path.clone();
    let fail = |reason: OpenReason| OpenError { path: path.clone(), reason };
    let (places, count) = (options.queue.get(), options.readers.get());
    let (writes, write_jobs) = Lane::new("writes", places, options.waiting_writes, 1);
    let (reads, read_jobs) = Lane::new("reads", places, options.waiting_reads, count);
    if options.inline {
        let writer = Writer::open(&options, Arc::clone(shared)).map_err(fail)?;
        let reader = Reader::open(&options, Arc::clone(shared)).map_err(|e| fail(e.into()))?;
        let inline = Inline { writer: Mutex::new(Some(writer)), reader: Mutex::new(reader) };
        return Ok(Threads {
            shared: Arc::clone(shared),
            reads,
            writes,
            readers: Mutex::default(),
            writer: Mutex::default(),
            inline: Some(inline),
        });
    }
    let (opened, open) = oneshot::channel();
    let (to_open, seen) = (options.clone(), Arc::clone(shared));
    let writer = thread::Builder::new()
        .name("store-writer".into())
        .spawn(move || match Writer::open(&to_open, seen) {
            Ok(writer) => {
                if opened.send(Ok(())).is_ok() {
                    writer.run(&write_jobs);
                }
            }
            Err(reason) => drop(opened.send(Err(reason))),
        })
        .map_err(|error| fail(error.into()))?;
    open.await.map_err(|_| fail(OpenReason::Panicked))?.map_err(fail)?;
    let threads = Threads {
        shared: Arc::clone(shared),
        reads,
        writes,
        readers: Mutex::default(),
        writer: Mutex::new(Some(writer)),
        inline: None,
    };
    for n in 0..count {
        let reader = Reader::open(&options, Arc::clone(shared)).map_err(|e| fail(e.into()))?;
        let jobs = read_jobs.clone();
        let thread = thread::Builder::new()
            .name(format!("store-reader-{n}"))
            .spawn(move || reader.run(&jobs))
            .map_err(|error| fail(error.into()))?;
        threads.readers.lock().push(thread);
    }
    Ok(threads)
}

impl Threads {
    /// Runs `work` on a reader; `work` can ask whether anyone still waits for its answer.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Reader, &dyn Fn() -> bool) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: ReadJob = Box::new(move |reader| {
            if !reply.is_closed() {
                reader.shared.reads.fetch_add(1, Ordering::Relaxed);
                let outcome = work(reader, &|| reply.is_closed());
                if matches!(outcome, Err(StoreError::Corrupt)) {
                    reader.shared.health.found_damage();
                }
                // Nobody waits any more: nothing to do.
                let _ = reply.send(outcome);
            }
        });
        match &self.inline {
            Some(_) if self.shared.closed.load(Ordering::Acquire) => {
                return Err(StoreError::Closed);
            }
            Some(inline) => job(&mut inline.reader.lock()),
            None => self.reads.send(job).await?,
        }
        answer.await.unwrap_or_else(|_| Err(self.lost()))
    }

    /// Runs `work` on the writer, in a transaction of its own revision. `weight` is how many rows
    /// it is about.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        weight: usize,
        work: impl FnOnce(&mut Writing<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Written<T>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Job::new(weight, work, reply));
        match &self.inline {
            Some(inline) => {
                if let Some(writer) = inline.writer.lock().as_mut() {
                    writer.write(vec![job]);
                }
            }
            None => self.writes.send(job).await?,
        }
        answer.await.unwrap_or_else(|_| Err(self.lost()))
    }

    /// Why a job's answer never came.
    fn lost(&self) -> StoreError {
        if self.shared.closed.load(Ordering::Acquire) {
            StoreError::Closed
        } else {
            StoreError::Panicked
        }
    }

    /// Whether the writer's thread has ended without being told to.
    pub(super) fn lost_writer(&self) -> bool {
        !self.shared.closed.load(Ordering::Acquire)
            && self.writer.lock().as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// See [`Store::close`](super::Store::close).
    pub(super) async fn close(self: &Arc<Self>) {
        let threads = Arc::clone(self);
        // Joining blocks. A panic in there was logged when it happened.
        let _ = tokio::task::spawn_blocking(move || threads.finish()).await;
    }

    /// Lets the threads finish their queues and joins them, the writer last: it is to be the last
    /// to close the file, for then it leaves no write-ahead log behind.
    fn finish(&self) {
        self.shared.closed.store(true, Ordering::Release);
        if let Some(writer) = self.inline.as_ref().and_then(|inline| inline.writer.lock().take()) {
            writer.fold();
        }
        let readers = std::mem::take(&mut *self.readers.lock());
        self.reads.stop(readers.len());
        readers.into_iter().for_each(join);
        self.writes.stop(1);
        if let Some(writer) = self.writer.lock().take() {
            join(writer);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.finish();
    }
}

fn join(thread: JoinHandle<()>) {
    // An observer may hold the last handle, and drop it on the writer's own thread.
    if thread.thread().id() != thread::current().id() && thread.join().is_err() {
        tracing::error!("a thread of the store panicked");
    }
}
