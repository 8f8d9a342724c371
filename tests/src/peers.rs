//! An image of programs of this machine, for pods that run what other people wrote: a gRPC server and its client, a web
//! server, Redis, curl, h2load. They are copied as they are installed, with the libraries that the loader gives them here, so
//! that no registry is needed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    images::{Archive, target_folder},
    oci,
};

/// Name and tag of the image.
pub const IMAGE: &str = "localhost/weft-tests/peers:1";
/// The interpreter in the image.
pub const PYTHON: &str = "/peers/bin/python3";
/// Where the scripts of `tests/peers` are in the image.
pub const SCRIPTS: &str = "/peers/scripts";

/// Programs of Debian, by their names: in the image they are at `/peers/bin/<name>`.
const PROGRAMS: [&str; 5] = ["curl", "h2load", "openssl", "redis-cli", "redis-server"];
/// What they read besides: where it is looked for, and where Debian has it.
const DATA: [(&str, &str); 1] = [("/usr/lib/ssl/openssl.cnf", "/etc/ssl/openssl.cnf")];
/// How whoever lacks one of them gets it.
const INSTALL: &str =
    "apt-get install --no-install-recommends curl nghttp2-client openssl redis-server python3-venv";
/// Parts of Python's library that are large, and nothing here uses.
const UNUSED: [&str; 10] = [
    "__pycache__",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "site-packages",
    "dist-packages",
    "test",
    "tkinter",
    "turtledemo",
];
/// The most that all files may have together: something is wrong if an image of a few programs is larger.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Files of the image: where each is in it, and on this machine.
type Files = BTreeMap<PathBuf, PathBuf>;

/// Writes the image's archive below the target folder.
///
/// # Errors
/// If one of the programs is not installed, or Python's packages cannot be had.
pub fn archive() -> Result<Archive> {
    let folder = target_folder()?.join("peers");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let packages = python_packages(&folder)?;
    let mut files = Files::new();
    for name in PROGRAMS {
        files.insert(Path::new("/peers/bin").join(name), which(name)?);
    }
    files.extend(DATA.map(|(path, source)| (path.into(), source.into())));
    python(&packages, &mut files)?;
    tree(&sources(), Path::new(SCRIPTS), &mut files)?;
    libraries(&mut files)?;
    let path = folder.join("peers.tar");
    let digest = write(&path, &files)?;
    Ok(Archive { path, digest })
}

/// A Python on this machine that has the packages of `tests/peers/requirements.txt`.
///
/// # Errors
/// If Python is not installed, or its packages cannot be had.
pub fn interpreter() -> Result<PathBuf> {
    let folder = target_folder()?.join("peers");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // Several tests may be the first.
    let lock = folder.join("venv.lock");
    let lock = fs::File::create(&lock).with_context(|| lock.display().to_string())?;
    lock.lock().context("cannot wait for whoever installs Python's packages")?;
    python_packages(&folder)?;
    Ok(folder.join("venv/bin/python3"))
}

/// The scripts, and what they need of others.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// Where a program is on this machine.
fn which(name: &str) -> Result<PathBuf> {
    let found = ["/usr/bin", "/usr/local/bin", "/bin"].map(|folder| Path::new(folder).join(name));
    let found = found.into_iter().find(|path| path.exists());
    let found = found.with_context(|| format!("the program {name} is not installed: {INSTALL}"))?;
    fs::canonicalize(&found).with_context(|| found.display().to_string())
}

/// The packages of `requirements.txt` in a virtual environment of their own, which stays: the folder they are in.
fn python_packages(folder: &Path) -> Result<PathBuf> {
    let list = sources().join("requirements.txt");
    let wanted = fs::read(&list).with_context(|| list.display().to_string())?;
    let (venv, stamp) = (folder.join("venv"), folder.join("venv.requirements"));
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return site_packages(&venv);
    }
    if venv.exists() {
        fs::remove_dir_all(&venv).with_context(|| venv.display().to_string())?;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]);
    run(pip.arg("--requirement").arg(&list))?;
    fs::write(&stamp, wanted).with_context(|| stamp.display().to_string())?;
    site_packages(&venv)
}

fn site_packages(venv: &Path) -> Result<PathBuf> {
    let python = venv.join("bin/python3");
    let told =
        run(Command::new(python).args(["-c", "import sysconfig; print(sysconfig.get_path('platlib'))"]))?;
    Ok(PathBuf::from(told.trim()))
}

/// The interpreter and its library, with the packages of others in the same folder: it is searched wherever an
/// interpreter is put.
fn python(packages: &Path, files: &mut Files) -> Result<()> {
    let question = "import sys, sysconfig; v = sys.version_info; \
                    print(sys._base_executable, sysconfig.get_path('stdlib'), f'python{v.major}.{v.minor}', sep='\\n')";
    let told = run(Command::new("python3").args(["-c", question]))?;
    let [program, library, version] = told.lines().collect::<Vec<_>>()[..] else {
        bail!("python3 says where it is in words that are not understood: {told}")
    };
    let program = fs::canonicalize(program).with_context(|| program.to_owned())?;
    files.insert(PYTHON.into(), program);
    let home = Path::new("/peers/lib").join(version);
    tree(Path::new(library), &home, files)?;
    tree(packages, &home, files)
}

/// Every file below `from`, under `to`.
fn tree(from: &Path, to: &Path, files: &mut Files) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| from.display().to_string())?;
    for entry in entries {
        let entry = entry.with_context(|| from.display().to_string())?;
        let (name, path) = (entry.file_name(), entry.path());
        let name_text = name.to_string_lossy();
        let is_unused = UNUSED.contains(&&*name_text)
            || ["pip", "setuptools", "pkg_resources", "config-"].iter().any(|it| name_text.starts_with(it))
            // It lists files by where they were installed.
            || name_text == "RECORD";
        if is_unused {
            continue;
        }
        // What a link leads to, as a file of its own.
        if path.is_dir() {
            tree(&path, &to.join(&name), files)?;
        } else if path.is_file() {
            files.insert(to.join(&name), path);
        }
    }
    Ok(())
}

/// What the loader adds to the programs and libraries among `files`.
fn libraries(files: &mut Files) -> Result<()> {
    let linked: BTreeSet<&PathBuf> = files.values().filter(|path| is_elf(path)).collect();
    let mut ldd = Command::new("ldd");
    ldd.args(linked);
    let output = ldd.output().context("ldd cannot be started")?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    for path in loaded(&told)? {
        let source = fs::canonicalize(&path).with_context(|| path.display().to_string())?;
        files.insert(path, source);
    }
    Ok(())
}

fn is_elf(path: &Path) -> bool {
    use std::io::Read;
    let mut magic = [0; 4];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == *b"\x7fELF"
}

/// The files that `ldd` names: `name => /path (address)`, or `/path (address)` for the loader itself.
fn loaded(told: &str) -> Result<BTreeSet<PathBuf>> {
    let mut paths = BTreeSet::new();
    for line in told.lines().filter(|line| line.starts_with('\t')) {
        ensure!(!line.contains("not found"), "a library is missing on this machine: {}", line.trim());
        let path = line.split("=>").last().unwrap_or_default().split(" (").next().unwrap_or_default().trim();
        if path.starts_with('/') {
            paths.insert(PathBuf::from(path));
        }
    }
    Ok(paths)
}

fn write(archive: &Path, files: &Files) -> Result<String> {
    let mut contents = Vec::new();
    let mut bytes_left = BYTES_MAX;
    for (path, source) in files {
        let bytes = fs::read(source).with_context(|| source.display().to_string())?;
        let left = bytes_left.checked_sub(bytes.len() as u64);
        bytes_left = left.with_context(|| format!("the image would be larger than {BYTES_MAX} bytes"))?;
        let path = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
        contents.push((path, bytes));
    }
    let entries: Vec<oci::Entry> =
        contents.iter().map(|(path, bytes)| oci::Entry { path, mode: 0o755, bytes }).collect();
    oci::write_archive(
        archive,
        &oci::Image { name: IMAGE, files: &entries, entrypoint: &[], user: "65532:65532" },
    )
}

/// Runs a program that must succeed, and returns what it printed.
fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("{shown} cannot be started: {INSTALL}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown}: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_loader_loads_is_a_file_by_its_name() {
        let told = "/peers/a:\n\tlinux-vdso.so.1 (0x00007ffd)\n\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n/peers/b:\n\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x0)\n\
                    \tstatically linked\n";
        let paths = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(loaded(told).unwrap(), BTreeSet::from(paths));
    }

    #[test]
    fn a_library_that_is_not_there_is_named() {
        let error = loaded("\tlibgone.so.1 => not found\n").unwrap_err();
        assert!(error.to_string().contains("libgone.so.1"), "{error}");
    }
}
