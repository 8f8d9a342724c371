//! One log file, followed through rotation, truncation and absence.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read, Seek},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::line::{LINE_BYTES_MAX, Line};

/// What one look reads at most, so that one file does not keep the others waiting.
const LOOK_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one read.
const READ_BYTES: usize = 16 * 1024;

/// A file that is followed by its name.
pub(super) struct Follower {
    path: PathBuf,
    open: Option<Open>,
    /// What has been read of a line that has not ended yet.
    partial: Vec<u8>,
    /// The line is longer than what is kept of it.
    overlong: bool,
    /// What was last complained of, so that it is said once.
    complaint: Option<String>,
}

/// A file that has been found under the name.
struct Open {
    file: File,
    /// Bytes read.
    offset: u64,
    /// Another file has its name now: it is read to its end once more, since whoever wrote it may not have noticed
    /// yet, and then left.
    replaced: bool,
}

impl Follower {
    /// Follows `path`, which need not exist.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, open: None, partial: Vec::new(), overlong: false, complaint: None }
    }

    /// Reads what is new and hands every whole line to `print`. Whether there was anything new; if so, there may be
    /// more. A file that cannot be read is complained of in the log, and tried again at the next look.
    ///
    /// # Errors
    /// Those of `print` alone.
    pub(super) fn look(
        &mut self,
        mut print: impl FnMut(&Path, Line<'_>) -> io::Result<()>,
    ) -> io::Result<bool> {
        let Some(mut open) = self.open.take().or_else(|| self.find()) else { return Ok(false) };
        let read = match self.read(&mut open, &mut print)? {
            Ok(read) => read,
            Err(error) => {
                self.complain(&format!("cannot be read: {error}"));
                return Ok(false);
            }
        };
        if read > 0 {
            self.open = Some(open);
            return Ok(true);
        }
        // The end. Is it the end of this file, too?
        if open.replaced {
            self.end_line(&mut print)?;
            return self.look_at_next(print);
        }
        match open.fate(&self.path) {
            Fate::Same => {}
            Fate::Truncated => {
                self.end_line(&mut print)?;
                if let Err(error) = open.file.rewind() {
                    self.complain(&format!("cannot be read from its beginning: {error}"));
                    return Ok(false);
                }
                open.offset = 0;
            }
            Fate::Replaced => open.replaced = true,
        }
        self.open = Some(open);
        Ok(false)
    }

    /// Hands out what is left: a last line that has no end.
    ///
    /// # Errors
    /// Those of `print`.
    pub(super) fn finish(
        &mut self,
        mut print: impl FnMut(&Path, Line<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.end_line(&mut print)
    }

    /// The file that has the name of the one that was left.
    fn look_at_next(&mut self, print: impl FnMut(&Path, Line<'_>) -> io::Result<()>) -> io::Result<bool> {
        match self.find() {
            Some(next) => {
                self.open = Some(next);
                self.look(print)
            }
            None => Ok(false),
        }
    }

    fn find(&mut self) -> Option<Open> {
        match open(&self.path) {
            Ok(file) => {
                self.complaint = None;
                Some(Open { file, offset: 0, replaced: false })
            }
            Err(error) => {
                let advice = match error.kind() {
                    io::ErrorKind::NotFound => "is not there yet: waiting for it".to_owned(),
                    io::ErrorKind::PermissionDenied => format!(
                        "cannot be opened: {error}; make it readable for all, or for the pod's fsGroup"
                    ),
                    _ => format!("cannot be opened: {error}"),
                };
                self.complain(&advice);
                None
            }
        }
    }

    /// Reads on, up to a bound, and counts the bytes. The outer error is `print`'s.
    fn read(
        &mut self,
        open: &mut Open,
        print: &mut impl FnMut(&Path, Line<'_>) -> io::Result<()>,
    ) -> io::Result<io::Result<usize>> {
        let mut buffer = [0; READ_BYTES];
        let mut total = 0;
        while total < LOOK_BYTES_MAX {
            let read = match open.file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Err(error)),
            };
            open.offset += read as u64;
            total += read;
            self.split(&buffer[..read], print)?;
        }
        Ok(Ok(total))
    }

    /// Hands out the lines that end in `bytes`, and keeps the beginning of the one that does not.
    fn split(
        &mut self,
        bytes: &[u8],
        print: &mut impl FnMut(&Path, Line<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let ended = piece.strip_suffix(b"\n");
            let text = ended.unwrap_or(piece);
            let room = LINE_BYTES_MAX - self.partial.len();
            self.overlong |= text.len() > room;
            self.partial.extend_from_slice(&text[..text.len().min(room)]);
            if ended.is_some() {
                print(&self.path, Line { bytes: &self.partial, truncated: self.overlong })?;
                self.partial.clear();
                self.overlong = false;
            }
        }
        Ok(())
    }

    /// Nothing will be added to the line that has not ended: hands it out, if there is one.
    fn end_line(&mut self, print: &mut impl FnMut(&Path, Line<'_>) -> io::Result<()>) -> io::Result<()> {
        if self.partial.is_empty() { Ok(()) } else { self.split(b"\n", print) }
    }

    fn complain(&mut self, what: &str) {
        if self.complaint.as_deref() != Some(what) {
            tracing::warn!(file = %self.path.display(), "{what}");
            self.complaint = Some(what.to_owned());
        }
    }
}

/// Opens a regular file: opening a pipe would wait for whoever writes to it.
fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
    }
}

/// What has become of a file that was read to its end.
enum Fate {
    Same,
    /// Shorter than what was read of it: it begins anew.
    Truncated,
    /// Another file has its name.
    Replaced,
}

impl Open {
    fn fate(&self, path: &Path) -> Fate {
        let Ok(own) = self.file.metadata() else { return Fate::Same };
        let is_own = |other: &Metadata| (other.dev(), other.ino()) == (own.dev(), own.ino());
        match fs::metadata(path) {
            Ok(named) if !is_own(&named) => Fate::Replaced,
            _ if own.len() < self.offset => Fate::Truncated,
            // Nothing has its name any more: whoever writes may still have it open.
            _ => Fate::Same,
        }
    }
}

#[cfg(test)]
mod tests;
