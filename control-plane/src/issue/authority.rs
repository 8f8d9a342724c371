//! The authority on disk: loaded, or made at the first start.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use weft_identity::{
    TrustDomain,
    authority::{Authority, InvalidAuthority},
};

/// Only the owner may enter.
const FOLDER_MODE: u32 = 0o700;
/// Only the owner may read.
const KEY_MODE: u32 = 0o600;
/// Everybody may read: certificates are public.
const CERTIFICATE_MODE: u32 = 0o644;

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file or the folder.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read the key.
    #[error("{path} may be read by others than its owner (mode {mode:o}): run `chmod 600` on it", path = path.display())]
    Exposed {
        /// The key.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A key without its certificate.
    #[error("{path} is missing, but its key is there: restore it, or remove the key to start with a new authority", path = path.display())]
    NoCertificate {
        /// The certificate that is missing.
        path: PathBuf,
    },
    /// What is there is no authority.
    #[error("{path}: {source}", path = path.display())]
    Invalid {
        /// The certificate.
        path: PathBuf,
        /// Why.
        source: InvalidAuthority,
    },
}

/// The authority in `folder`, which is made if there is none, and `bundle.pem` beside it for those who trust it.
pub fn load_or_create(
    folder: &Path,
    trust_domain: TrustDomain,
    now: SystemTime,
) -> Result<Authority, AuthorityError> {
    let (certificate, key) = (folder.join("ca.crt"), folder.join("ca.key"));
    let invalid = |source| AuthorityError::Invalid { path: certificate.clone(), source };
    let authority = match (read(&certificate)?, read(&key)?) {
        (Some(certificate_pem), Some(key_pem)) => {
            refuse_exposed(&key)?;
            Authority::load(trust_domain, &certificate_pem, &key_pem).map_err(invalid)?
        }
        (None, Some(_)) => return Err(AuthorityError::NoCertificate { path: certificate }),
        // A certificate alone is what a first start leaves that was killed: nothing has been signed with its key.
        (_, None) => {
            make_folder(folder)?;
            let authority = Authority::create(trust_domain, now).map_err(invalid)?;
            let key_pem = authority.key_pem().map_err(|source| invalid(source.into()))?;
            write(&certificate, authority.certificate_pem(), CERTIFICATE_MODE)?;
            write(&key, &key_pem, KEY_MODE)?;
            authority
        }
    };
    write(&folder.join("bundle.pem"), authority.certificate_pem(), CERTIFICATE_MODE)?;
    Ok(authority)
}

fn read(path: &Path) -> Result<Option<String>, AuthorityError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(AuthorityError::Io { path: path.to_owned(), source }),
    }
}

fn refuse_exposed(key: &Path) -> Result<(), AuthorityError> {
    let found = fs::metadata(key).map_err(|source| AuthorityError::Io { path: key.to_owned(), source })?;
    let mode = found.permissions().mode() & 0o777;
    // Nothing beyond what the owner may do.
    if mode == mode & 0o700 { Ok(()) } else { Err(AuthorityError::Exposed { path: key.to_owned(), mode }) }
}

fn make_folder(folder: &Path) -> Result<(), AuthorityError> {
    let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
    made.map_err(|source| AuthorityError::Io { path: folder.to_owned(), source })
}

/// Writes a file whole or not at all: whoever reads it meanwhile sees the old one or the new one.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let failed = |source| AuthorityError::Io { path: path.to_owned(), source };
    let draft = path.with_extension("new");
    // One that a killed start left behind has who knows which mode.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&draft, path).map_err(failed)
}

#[cfg(test)]
mod tests;
