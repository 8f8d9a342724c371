//! Bytes as they come, and the lines that they make.

/// Bytes of a line at most: an object has some 1.5 MiB at most, and JSON makes more of it where it escapes.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of which the end of the line has not come.
#[derive(Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// How much of them was handed out.
    taken: usize,
    /// How much of them was looked at, and holds no end of a line.
    looked: usize,
}

impl Lines {
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.bytes.drain(..self.taken);
        self.looked -= self.taken;
        self.taken = 0;
        self.bytes.extend_from_slice(piece);
    }

    /// The next whole line, without its end.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        loop {
            let Some(length) = self.bytes[self.looked..].iter().position(|byte| *byte == b'\n') else {
                self.looked = self.bytes.len();
                return None;
            };
            let (from, to) = (self.taken, self.looked + length);
            self.taken = to + 1;
            self.looked = self.taken;
            if from < to {
                return Some(&self.bytes[from..to]);
            }
        }
    }

    /// Whether the line that is coming is longer than any may be.
    pub(super) fn is_too_long(&self) -> bool {
        self.bytes.len() - self.taken > LINE_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let text = b"one\ntwo\n\nthree\nrest";
        for cut in 1..text.len() {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for piece in text.chunks(cut) {
                lines.push(piece);
                while let Some(line) = lines.next() {
                    found.push(String::from_utf8(line.to_vec()).unwrap());
                }
            }
            assert_eq!(found, ["one", "two", "three"], "pieces of {cut}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_noticed_before_memory_is() {
        let mut lines = Lines::default();
        lines.push(b"short\n");
        assert!(lines.next().is_some());
        lines.push(&vec![b'x'; LINE_BYTES_MAX]);
        assert!(lines.next().is_none() && !lines.is_too_long());
        lines.push(b"x");
        assert!(lines.next().is_none() && lines.is_too_long());
    }
}
