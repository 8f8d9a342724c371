use tempfile::TempDir;

use super::*;

fn load(folder: &Path) -> Result<Authority, AuthorityError> {
    load_or_create(folder, "mesh.test".parse().unwrap(), SystemTime::now())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_start_makes_an_authority_and_the_next_ones_find_it() {
    let state = TempDir::new().unwrap();
    let folder = state.path().join("ca");
    let first = load(&folder).unwrap();
    assert_eq!((mode(&folder), mode(&folder.join("ca.key"))), (0o700, 0o600));
    let bundle = fs::read_to_string(folder.join("bundle.pem")).unwrap();
    assert_eq!(bundle, first.certificate_pem());
    let names = fs::read_dir(&folder).unwrap().count();
    assert_eq!(names, 3, "no drafts are left");
    assert_eq!(load(&folder).unwrap().certificate_pem(), first.certificate_pem());
}

#[test]
fn a_start_that_was_killed_half_way_is_made_up_for() {
    let state = TempDir::new().unwrap();
    let folder = state.path().join("ca");
    load(&folder).unwrap();
    fs::remove_file(folder.join("ca.key")).unwrap();
    fs::write(folder.join("ca.new"), "half a ke").unwrap();
    load(&folder).unwrap();
    load(&folder).unwrap();
}

#[test]
fn an_authority_that_is_not_whole_is_refused() {
    let state = TempDir::new().unwrap();
    let folder = state.path().join("ca");
    load(&folder).unwrap();
    let key = folder.join("ca.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let error = load(&folder).err().unwrap().to_string();
    assert!(error.contains("ca.key may be read by others") && error.contains("chmod 600"), "{error}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(folder.join("ca.crt"), "nonsense").unwrap();
    assert!(matches!(load(&folder), Err(AuthorityError::Invalid { .. })));
    fs::remove_file(folder.join("ca.crt")).unwrap();
    assert!(matches!(load(&folder), Err(AuthorityError::NoCertificate { .. })));
}
