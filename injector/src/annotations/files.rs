//! Log files of an application: absolute paths, separated by commas.

/// Files of a pod at most; as many as the log adapter follows.
const FILES_MAX: usize = 16;
/// Bytes of a path at most (Linux, PATH_MAX).
const PATH_BYTES_MAX: usize = 4096;

/// An absolute path in its plainest form: no `.`, no `..`, no `//`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile(String);

impl LogFile {
    /// The path.
    pub fn path(&self) -> &str {
        &self.0
    }

    /// The directory that it is in. Never `/`.
    pub fn directory(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(directory, _)| directory)
    }
}

pub(super) fn parse(text: &str) -> Result<Vec<LogFile>, String> {
    let files: Vec<LogFile> = text.split(',').map(|path| file(path.trim())).collect::<Result<_, _>>()?;
    if files.len() > FILES_MAX {
        return Err(format!("it has {} files; write at most {FILES_MAX}", files.len()));
    }
    Ok(files)
}

fn file(path: &str) -> Result<LogFile, String> {
    let mut parts = path.strip_prefix('/').unwrap_or_default().split('/');
    let plain = parts.all(|part| !part.is_empty() && part != "." && part != "..");
    // A colon separates the parts of a mount for some runtimes, and Kubernetes refuses it in a `mountPath`.
    let clean = !path.contains(':') && !path.chars().any(char::is_control);
    if !plain || !clean || path.len() > PATH_BYTES_MAX {
        return Err("write absolute paths without `.`, `..`, `//` and `:`, separated by commas".to_owned());
    }
    if path.rfind('/') == Some(0) {
        let name = super::quoted(path);
        return Err(format!("`{name}` stands in `/`, which cannot be shared: log into a directory"));
    }
    Ok(LogFile(path.to_owned()))
}
