//! Images without a builder and without a daemon: a few files become an archive that any container runtime imports.
//!
//! The layout is that of the OCI image specification 1.1, `image-layout.md`. Two archives of the same files are the
//! same, byte for byte: names are sorted, times are zero, and nothing tells of the machine.

use std::{
    collections::BTreeMap,
    env::consts,
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

/// Permissions of the folders that lead to a file.
const FOLDER_MODE: u32 = 0o755;

/// What goes into an archive.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// Name and tag, as a pod names them: `weft-proxy:test` or `registry.example/weft/proxy:1`.
    pub name: &'a str,
    /// Everything that it holds. Folders come by themselves.
    pub files: &'a [Entry<'a>],
    /// What a container of it runs.
    pub entrypoint: &'a [&'a str],
    /// Who runs it, `uid` or `uid:gid` in numbers: there is no list of users in it.
    pub user: &'a str,
}

/// A file of an image.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Where it is: an absolute path.
    pub path: &'a str,
    /// Its permissions.
    pub mode: u32,
    /// What it holds.
    pub bytes: &'a [u8],
}

/// Writes `image` to an archive at `path` and returns its digest, `sha256:` and 64 digits.
///
/// # Errors
/// If a name of the image or of a file is none, or the archive cannot be written.
pub fn write_archive(path: &Path, image: &Image) -> Result<String> {
    let layer = layer(image.files).with_context(|| format!("image {}", image.name))?;
    let config = config(image, &layer).to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let index = index(&full_name(image.name)?, &manifest).to_string().into_bytes();
    let blobs =
        [&config, &layer, &manifest].map(|blob| (PathBuf::from("blobs/sha256").join(sha256(blob)), blob));
    let layout = json!({ "imageLayoutVersion": "1.0.0" }).to_string().into_bytes();

    let mut files: BTreeMap<PathBuf, (u32, &[u8])> =
        blobs.iter().map(|(path, blob)| (path.clone(), (0o644, blob.as_slice()))).collect();
    files.insert("index.json".into(), (0o644, &index));
    files.insert("oci-layout".into(), (0o644, &layout));
    let written = File::create(path).and_then(|file| {
        let mut file = BufWriter::new(file);
        write_tar(&mut file, &files)?;
        file.flush()
    });
    written.with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(format!("sha256:{}", sha256(&manifest)))
}

/// The name that a container runtime keeps an image under, for the one that people write.
///
/// # Errors
/// If there is no tag, or nothing before it.
pub fn full_name(name: &str) -> Result<String> {
    let (repository, tag) = name.rsplit_once(':').unwrap_or((name, ""));
    let is_whole = !repository.is_empty() && !tag.is_empty() && !tag.contains('/') && !name.contains(' ');
    ensure!(is_whole, "`{name}` is no name of an image: write NAME:TAG");
    Ok(match repository.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    })
}

/// The only layer: the files and the folders that lead to them.
fn layer(files: &[Entry]) -> Result<Vec<u8>> {
    let mut sorted = BTreeMap::new();
    for file in files {
        let inner = file.path.strip_prefix('/').unwrap_or_default();
        let is_plain = !inner.is_empty() && inner.split('/').all(|part| !matches!(part, "" | "." | ".."));
        ensure!(is_plain, "`{}` is no absolute path of a file", file.path);
        let before = sorted.insert(PathBuf::from(inner), (file.mode, file.bytes));
        ensure!(before.is_none(), "`{}` is there twice", file.path);
    }
    let mut layer = Vec::new();
    write_tar(&mut layer, &sorted).context("the layer cannot be written")?;
    Ok(layer)
}

/// Writes a tar archive of `files`, each folder before what is in it.
fn write_tar(to: impl Write, files: &BTreeMap<PathBuf, (u32, &[u8])>) -> io::Result<()> {
    let mut entries: BTreeMap<&Path, Option<(u32, &[u8])>> = BTreeMap::new();
    for (path, file) in files {
        let folders = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        entries.extend(folders.map(|folder| (folder, None)));
        entries.insert(path, Some(*file));
    }
    let mut archive = Builder::new(to);
    for (path, file) in entries {
        let (kind, mode, bytes) = match file {
            Some((mode, bytes)) => (EntryType::Regular, mode, bytes),
            None => (EntryType::Directory, FOLDER_MODE, [].as_slice()),
        };
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        archive.append_data(&mut header, path, bytes)?;
    }
    archive.finish()
}

fn config(image: &Image, layer: &[u8]) -> Value {
    json!({
        "architecture": architecture(),
        "os": "linux",
        "config": { "Entrypoint": image.entrypoint, "User": image.user, "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(layer))] },
    })
}

fn index(name: &str, manifest: &[u8]) -> Value {
    let mut descriptor = descriptor("application/vnd.oci.image.manifest.v1+json", manifest);
    let tag = name.rsplit_once(':').map_or("", |(_, tag)| tag);
    descriptor["platform"] = json!({ "architecture": architecture(), "os": "linux" });
    // The first is the specification's, the second the one that containerd goes by.
    descriptor["annotations"] =
        json!({ "org.opencontainers.image.ref.name": tag, "io.containerd.image.name": name });
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [descriptor],
    })
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{}", sha256(blob)), "size": blob.len() })
}

/// The field's name of this machine's processor.
fn architecture() -> &'static str {
    match consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let digest = digest(&SHA256, bytes);
    digest.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes any text");
        text
    })
}

#[cfg(test)]
mod tests;
