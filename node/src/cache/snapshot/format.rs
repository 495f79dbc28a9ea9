//! The bytes of a file: header, sections, end. See the [module](super) for the layout.

use std::io::{self, Read, Write};

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Payload},
};
use secrecy::{ExposeSecret, SecretBox};

use super::Unfit;
use crate::{model::Revision, store::Mark};

const MAGIC: &[u8; 8] = b"KAMASNAP";
const VERSION: u16 = 2;
const ZSTD: u16 = 1;
const AES: u16 = 2;
pub(super) const HEADER: usize = 64;
/// A section is closed when it has grown to this many bytes of JSON.
const SECTION: usize = 1 << 20;
/// No section is larger than this; a subject that is is left out.
pub(super) const MAX_SECTION: usize = 64 << 20;
/// Fast; what is saved is mostly digits, which more effort compresses little further.
const LEVEL: i32 = 1;

pub(crate) type Key = SecretBox<[u8; 32]>;

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) revision: Revision,
    /// The history that the revision is one of.
    pub(crate) history: HistoryId,
    /// Milliseconds since 1970.
    pub(crate) saved_at: i64,
    flags: u16,
    salt: [u8; 8],
}

/// A history of a store in a few bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HistoryId {
    /// The lineage, which is a number in hexadecimal digits; 0 where there is none.
    lineage: u128,
    /// The nonce of the commit of the header's revision; 0 where that is not known.
    nonce: i64,
}

impl HistoryId {
    /// Of a store that is at `mark`, for what is true at `revision`.
    pub(crate) fn of(mark: &Mark, revision: Revision) -> Self {
        let nonce = if mark.revision == revision { mark.nonce } else { 0 };
        Self { lineage: u128::from_str_radix(&mark.lineage, 16).unwrap_or(0), nonce }
    }

    /// Whether a store with the history of `now` may have been where this is from. `then` is the
    /// nonce of its commit of that revision, as far as that is known.
    pub(crate) fn may_be_of(self, now: &Mark, then: Option<i64>) -> bool {
        let is_nonce = |nonce| self.nonce == 0 || self.nonce == nonce;
        self.lineage == Self::of(now, now.revision).lineage && then.is_none_or(is_nonce)
    }
}

impl Header {
    pub(crate) fn new(
        revision: Revision,
        history: HistoryId,
        saved_at: i64,
        compress: bool,
        encrypt: bool,
    ) -> Self {
        let flags = if compress { ZSTD } else { 0 } | if encrypt { AES } else { 0 };
        Self { revision, history, saved_at, flags, salt: rand::random() }
    }

    fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.flags.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.revision.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.saved_at.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.salt);
        bytes[36..52].copy_from_slice(&self.history.lineage.to_le_bytes());
        bytes[52..60].copy_from_slice(&self.history.nonce.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; HEADER]) -> Result<Self, Unfit> {
        let u16_at = |at| u16::from_le_bytes(array_at(bytes, at));
        if &bytes[..8] != MAGIC {
            return Err(Unfit::Damaged("the header is not one"));
        }
        let sum_at = |at: usize| bytes[at..at + 4] == crc32fast::hash(&bytes[..at]).to_le_bytes();
        let (version, flags) = (u16_at(8), u16_at(10));
        // The checksum of version 1 stood elsewhere.
        let is_older = version == 1 && sum_at(36);
        if is_older || sum_at(60) && (version != VERSION || flags & !(ZSTD | AES) != 0) {
            return Err(Unfit::Unsuited("saved by another version of this program"));
        }
        if !sum_at(60) {
            return Err(Unfit::Damaged("the header is not one"));
        }
        let history = HistoryId {
            lineage: u128::from_le_bytes(array_at(bytes, 36)),
            nonce: i64::from_le_bytes(array_at(bytes, 52)),
        };
        Ok(Self {
            flags,
            history,
            revision: u64::from_le_bytes(array_at(bytes, 12)),
            saved_at: i64::from_le_bytes(array_at(bytes, 20)),
            salt: array_at(bytes, 28),
        })
    }

    /// The JSON of a section from what is stored of it, or `None` where that is the JSON.
    pub(super) fn unpack(
        &self,
        number: u32,
        plain: u32,
        stored: &[u8],
        key: Option<&Key>,
    ) -> Result<Option<Vec<u8>>, Unfit> {
        let mut opened = None;
        if self.flags & AES != 0 {
            let key = key.ok_or(Unfit::Unsuited("encrypted, and no key is configured"))?;
            let aad = self.to_bytes();
            let payload = Payload { msg: stored, aad: &aad };
            let nonce = self.nonce(number).into();
            let bytes = cipher(key)
                .decrypt(&nonce, payload)
                .map_err(|_| Unfit::Unsuited("encrypted with another key"))?;
            opened = Some(bytes);
        }
        let length = plain as usize;
        if self.flags & ZSTD != 0 {
            let bytes = zstd::bulk::decompress(opened.as_deref().unwrap_or(stored), length)
                .map_err(|_| Unfit::Damaged("a section does not unpack"))?;
            opened = Some(bytes);
        }
        if opened.as_deref().unwrap_or(stored).len() != length {
            return Err(Unfit::Damaged("a section has not the length it says"));
        }
        Ok(opened)
    }

    fn nonce(&self, number: u32) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.salt);
        nonce[8..].copy_from_slice(&number.to_le_bytes());
        nonce
    }
}

fn array_at<const N: usize>(bytes: &[u8; HEADER], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

fn cipher(key: &Key) -> Aes256Gcm {
    Aes256Gcm::new(key.expose_secret().into())
}

/// What stands before each section.
#[derive(Clone, Copy, Debug)]
pub(super) struct SectionHead {
    /// Bytes stored; 0 marks the end.
    pub(super) stored: u32,
    /// Bytes before compression and encryption; at the end, the number of entries.
    pub(super) plain: u32,
    crc: u32,
}

impl SectionHead {
    pub(super) const LEN: usize = 12;

    fn new(number: u32, plain: u32, stored: &[u8]) -> io::Result<Self> {
        let size = u32::try_from(stored.len()).map_err(io::Error::other)?;
        let mut head = Self { stored: size, plain, crc: 0 };
        head.crc = head.crc_of(number, stored);
        Ok(head)
    }

    fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.stored.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.plain.to_le_bytes());
        bytes[8..].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    /// # Errors
    /// If no section is as long as this says.
    pub(super) fn from_bytes(bytes: [u8; Self::LEN]) -> Result<Self, Unfit> {
        let [s0, s1, s2, s3, p0, p1, p2, p3, c0, c1, c2, c3] = bytes;
        let word = u32::from_le_bytes;
        let (stored, plain) = (word([s0, s1, s2, s3]), word([p0, p1, p2, p3]));
        // Some room above: what does not compress grows a little, and so does what is encrypted.
        if stored as usize > MAX_SECTION + 4096 || stored > 0 && plain as usize > MAX_SECTION {
            return Err(Unfit::Damaged("a section is longer than any is"));
        }
        Ok(Self { stored, plain, crc: word([c0, c1, c2, c3]) })
    }

    /// Sees that `stored` is what was saved under this number.
    pub(super) fn check(self, number: u32, stored: &[u8]) -> Result<(), Unfit> {
        if self.crc_of(number, stored) == self.crc {
            Ok(())
        } else {
            Err(Unfit::Damaged("a checksum does not match"))
        }
    }

    fn crc_of(self, number: u32, stored: &[u8]) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&number.to_le_bytes());
        crc.update(&self.stored.to_le_bytes());
        crc.update(&self.plain.to_le_bytes());
        crc.update(stored);
        crc.finalize()
    }
}

/// Writes a file from front to back.
pub(crate) struct Writer<'k, W> {
    out: W,
    header: Header,
    key: Option<&'k Key>,
    section: Vec<u8>,
    number: u32,
    entries: u32,
}

impl<'k, W: Write> Writer<'k, W> {
    pub(crate) fn new(mut out: W, header: Header, key: Option<&'k Key>) -> io::Result<Self> {
        out.write_all(&header.to_bytes())?;
        Ok(Self { out, header, key, section: Vec::new(), number: 0, entries: 0 })
    }

    /// Adds an entry, which `write` appends as one line; says whether it was small enough.
    pub(crate) fn entry(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> io::Result<bool> {
        let before = self.section.len();
        write(&mut self.section);
        self.section.push(b'\n');
        if self.section.len() - before > MAX_SECTION - SECTION {
            self.section.truncate(before);
            return Ok(false);
        }
        self.entries += 1;
        if self.section.len() >= SECTION {
            self.close_section()?;
        }
        Ok(true)
    }

    /// Writes what is left and the end.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        if !self.section.is_empty() {
            self.close_section()?;
        }
        self.write_section(self.entries, &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn close_section(&mut self) -> io::Result<()> {
        let plain = std::mem::take(&mut self.section);
        let length = u32::try_from(plain.len()).map_err(io::Error::other)?;
        let mut stored = plain;
        if self.header.flags & ZSTD != 0 {
            stored = zstd::bulk::compress(&stored, LEVEL)?;
        }
        if let Some(key) = self.key {
            let aad = self.header.to_bytes();
            let payload = Payload { msg: &stored, aad: &aad };
            let nonce = self.header.nonce(self.number).into();
            stored = cipher(key)
                .encrypt(&nonce, payload)
                .map_err(|_| io::Error::other("the section could not be encrypted"))?;
        }
        self.write_section(length, &stored)
    }

    fn write_section(&mut self, plain: u32, stored: &[u8]) -> io::Result<()> {
        self.out.write_all(&SectionHead::new(self.number, plain, stored)?.to_bytes())?;
        self.out.write_all(stored)?;
        self.number += 1;
        Ok(())
    }
}

/// Reads a file from front to back.
pub(crate) struct Reader<R> {
    input: R,
    header: Header,
    number: u32,
    ended: bool,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(mut input: R) -> Result<Self, Unfit> {
        let mut bytes = [0; HEADER];
        fill(&mut input, &mut bytes)?;
        let header = Header::from_bytes(&bytes)?;
        Ok(Self { input, header, number: 0, ended: false })
    }

    pub(crate) fn header(&self) -> Header {
        self.header
    }

    /// The JSON of the next section; `None` at the end.
    pub(crate) fn section(&mut self, key: Option<&Key>) -> Result<Option<Vec<u8>>, Unfit> {
        let Some((stored, plain)) = self.stored()? else { return Ok(None) };
        let plain = self.header.unpack(self.number - 1, plain, &stored, key)?;
        Ok(Some(plain.unwrap_or(stored)))
    }

    /// The next section as it is stored, checked, and its length before that; `None` at the end.
    fn stored(&mut self) -> Result<Option<(Vec<u8>, u32)>, Unfit> {
        if self.ended {
            return Ok(None);
        }
        let mut head = [0; SectionHead::LEN];
        fill(&mut self.input, &mut head)?;
        let head = SectionHead::from_bytes(head)?;
        let mut stored = Vec::new();
        // Grows with what is really there, whatever the length says.
        self.input.by_ref().take(u64::from(head.stored)).read_to_end(&mut stored)?;
        if stored.len() != head.stored as usize {
            return Err(Unfit::Cut);
        }
        head.check(self.number, &stored)?;
        self.number += 1;
        if head.stored > 0 {
            return Ok(Some((stored, head.plain)));
        }
        self.ended = true;
        match self.input.read(&mut [0])? {
            0 => Ok(None),
            _ => Err(Unfit::Damaged("something follows the end")),
        }
    }
}

fn fill(input: &mut impl Read, bytes: &mut [u8]) -> Result<(), Unfit> {
    input.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Unfit::Cut,
        _ => Unfit::Unreadable(error),
    })
}
