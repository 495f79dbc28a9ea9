//! A file whose sections are read in any order, by any number of threads.

use std::{borrow::Cow, fs::File, io, os::unix::fs::FileExt, path::Path};

use super::{
    Header, Unfit,
    format::{HEADER, Key, SectionHead},
};

/// Where the sections of a file are. The header and the end have been checked; each section is
/// when it is [read](Self::read), and the file is whole if all of them are.
#[derive(Debug)]
pub(crate) struct Index {
    file: File,
    header: Header,
    sections: Vec<(u64, SectionHead)>,
}

impl Index {
    /// Goes from section to section through a file, reading none.
    ///
    /// # Errors
    /// [`Unfit`] if the file can't be read, has no good header, or does not end where it should.
    pub(crate) fn open(path: &Path) -> Result<Self, Unfit> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut header = [0; HEADER];
        fill(&file, &mut header, 0)?;
        let header = Header::from_bytes(&header)?;
        let mut at = HEADER as u64;
        let mut sections = Vec::new();
        loop {
            let mut head = [0; SectionHead::LEN];
            fill(&file, &mut head, at)?;
            let head = SectionHead::from_bytes(head)?;
            at += SectionHead::LEN as u64;
            if head.stored == 0 {
                let number = u32::try_from(sections.len()).unwrap_or(u32::MAX);
                head.check(number, &[])?;
                break;
            }
            sections.push((at, head));
            at += u64::from(head.stored);
            if at > length {
                return Err(Unfit::Cut);
            }
        }
        if at != length {
            return Err(Unfit::Damaged("something follows the end"));
        }
        Ok(Self { file, header, sections })
    }

    pub(crate) fn header(&self) -> Header {
        self.header
    }

    /// How many sections there are.
    pub(crate) fn len(&self) -> usize {
        self.sections.len()
    }

    /// The JSON of a section, from 0. `buffer` is overwritten, and lent back where that is enough.
    ///
    /// # Errors
    /// [`Unfit`] unless it is what was saved.
    ///
    /// # Panics
    /// If there is no such section.
    pub(crate) fn read<'b>(
        &self,
        section: usize,
        key: Option<&Key>,
        buffer: &'b mut Vec<u8>,
    ) -> Result<Cow<'b, [u8]>, Unfit> {
        self.check(section, buffer)?;
        let number = u32::try_from(section).unwrap_or(u32::MAX);
        let plain = self.header.unpack(number, self.sections[section].1.plain, buffer, key)?;
        Ok(plain.map_or(buffer.as_slice().into(), Into::into))
    }

    /// Reads a section into `buffer` as it is stored, to see that it is what was saved.
    ///
    /// # Errors
    /// [`Unfit`] if it is not.
    ///
    /// # Panics
    /// If there is no such section.
    pub(crate) fn check(&self, section: usize, buffer: &mut Vec<u8>) -> Result<(), Unfit> {
        let (at, head) = self.sections[section];
        // No more than a section may have, and no more than the file has.
        buffer.resize(head.stored as usize, 0);
        fill(&self.file, buffer, at)?;
        head.check(u32::try_from(section).unwrap_or(u32::MAX), buffer)
    }
}

fn fill(file: &File, bytes: &mut [u8], at: u64) -> Result<(), Unfit> {
    file.read_exact_at(bytes, at).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Unfit::Cut,
        _ => Unfit::Unreadable(error),
    })
}
