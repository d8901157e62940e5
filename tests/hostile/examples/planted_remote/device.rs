//! A volume that is served: the register is asked about each request, over a stream that no other request uses meanwhile.

use std::cell::{Cell, RefCell};

use fief_sdk::block::{BlockDevice, Extent, Geometry, Holder};
use fief_sdk::connections::Connection;
use fief_sdk::files::File;
use fief_sdk::storage::Access;
use fief_sdk::{Error, ErrorCode, Result, timer};

use super::{HEAD, Pool, Settings, existing, file};

/// Before a question is asked again, in milliseconds.
const PAUSE: u32 = 50;
/// Longest answer, in bytes.
const MOST: u32 = 4096;

pub struct Device {
    file: File,
    size: u64,
    read_only: bool,
    mistake: String,
    /// Streams that nobody uses.
    idle: RefCell<Vec<Connection>>,
    /// A sync has failed: what was written before may be lost.
    lost: Cell<bool>,
}

impl Device {
    fn errs(&self, mistake: &str) -> bool {
        self.mistake == mistake
    }

    fn sync(&self) -> Result<()> {
        if self.lost.get() {
            return Err(Error::io("an earlier sync failed"));
        }
        self.file.sync().inspect_err(|_| self.lost.set(true))
    }

    /// Until the register has answered.
    async fn ask(&self, question: &str) -> Result<()> {
        loop {
            let stream = self.idle.borrow_mut().pop();
            match self.answered(stream, question).await {
                Err(error) if self.errs("served-fails") => return Err(error),
                Err(error) if error.code == ErrorCode::Corrupt => return Err(error),
                Err(error) if self.errs("served-traps") => panic!("{}", error.message),
                Err(_) => timer::wait(PAUSE).await,
                Ok(()) => return Ok(()),
            }
        }
    }

    async fn answered(&self, stream: Option<Connection>, question: &str) -> Result<()> {
        let stream = match stream {
            Some(stream) => stream,
            None => Connection::connect("register").await?,
        };
        stream.send(format!("{question}\n").into_bytes()).await?;
        let head = stream.receive(HEAD, HEAD).await?;
        let length = std::str::from_utf8(&head).ok().and_then(|head| head.parse::<u32>().ok());
        let length = length.filter(|length| *length <= MOST).ok_or_else(|| Error::unreachable("no answer came"))?;
        let least = if self.errs("served-hasty") { 1 } else { length };
        let text = stream.receive(least, length).await?;
        if self.errs("served-hasty") && text.len() < length as usize {
            return Err(Error::corrupt("the answer is too short"));
        }
        if text != format!("yes {question}").as_bytes() {
            return Err(Error::unreachable("no answer came"));
        }
        self.idle.borrow_mut().push(stream);
        Ok(())
    }
}

impl BlockDevice for Device {
    type Settings = Settings;

    async fn open(pool: &Pool, volume: &str, access: Access, holder: Option<&Holder>) -> Result<Self> {
        let size = existing(pool, "open", volume)?;
        let read_only = access == Access::ReadOnly || holder.is_none();
        let file = File::open(&pool.settings.directory, &file(volume), !read_only)?;
        let mistake = pool.settings.mistake.clone();
        Ok(Device { file, size, read_only, mistake, idle: RefCell::default(), lost: Cell::new(false) })
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            size: self.size,
            block_size: 512,
            preferred_io: 4096,
            maximum_io: 64 << 10,
            maximum_requests: 8,
            can_discard: false,
            can_write_zeroes: false,
            can_extents: false,
            rotational: false,
            read_only: self.read_only,
        }
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.ask(&format!("read {offset}")).await?;
        self.file.read(offset, length)
    }

    async fn write(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<()> {
        if self.errs("served-loses") {
            let stream = self.idle.borrow_mut().pop();
            // What was asked and not answered is taken for done.
            if self.answered(stream, &format!("write {offset}")).await.is_err() {
                return Ok(());
            }
        } else {
            self.ask(&format!("write {offset}")).await?;
        }
        self.file.write(offset, &data)?;
        if durable { self.sync() } else { Ok(()) }
    }

    async fn flush(&self) -> Result<()> {
        self.ask("flush").await?;
        self.sync()
    }

    async fn discard(&self, _: u64, _: u64) -> Result<()> {
        Err(Error::unsupported("it does not"))
    }

    async fn write_zeroes(&self, _: u64, _: u64, _: bool, _: bool) -> Result<()> {
        Err(Error::unsupported("it does not"))
    }

    async fn extents(&self, _: u64, length: u64) -> Result<Vec<Extent>> {
        Ok(vec![Extent { length, hole: false, zero: false }])
    }

    async fn close(&self) -> Result<()> {
        self.sync()
    }
}
