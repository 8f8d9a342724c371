use std::fs;

use super::*;

/// Programs of `image` in a new folder, none of them one that runs.
fn programs(image: &Image) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for binary in image.binaries {
        fs::write(folder.path().join(binary), format!("the program {binary}")).unwrap();
    }
    folder
}

#[test]
fn the_same_programs_are_the_same_archive_wherever_and_whenever_they_were_built() {
    for image in &IMAGES {
        let (one, other) = (programs(image), programs(image));
        let (one, other) = (one.path(), other.path());
        let first = image.write(one, &one.join("image.tar")).unwrap();
        let second = image.write(other, &other.join("image.tar")).unwrap();
        assert_eq!(first, second);
        assert_eq!(fs::read(one.join("image.tar")).unwrap(), fs::read(other.join("image.tar")).unwrap());

        fs::write(one.join(image.binaries[0]), "another program").unwrap();
        assert_ne!(first, image.write(one, &one.join("image.tar")).unwrap());
    }
}

#[test]
fn a_missing_program_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let error = IMAGES[0].write(empty.path(), &empty.path().join("image.tar")).unwrap_err();
    assert!(format!("{error:#}").contains("weft-proxy"), "{error:#}");
}

#[test]
fn what_is_published_is_built_by_what_is_known_of_its_work() {
    let output = tempfile::tempdir().unwrap();
    let has = |profile: &str, image: &'static Image, flag: &str| {
        let builder = Builder::new(profile, Some(output.path().to_owned())).unwrap();
        builder.flags(&[image]).unwrap().iter().any(|own| own.starts_with(flag))
    };
    let proxy = Image::named("proxy").unwrap();
    for flag in ["-Cprofile-use=", "-Clink-arg=-Wl,--symbol-ordering-file="] {
        assert!(has(DIST, proxy, flag));
        assert!(!has("image-test", proxy, flag));
        assert!(!has(DIST, Image::named("injector").unwrap(), flag));
    }
    for (profile, image) in [("image-test", proxy), (DIST, Image::named("injector").unwrap())] {
        let builder = Builder::new(profile, Some(output.path().to_owned())).unwrap().aimed(Aim::Name);
        assert!(builder.flags(&[image]).unwrap_err().to_string().contains("`proxy`"));
    }
    let work = proxy.work.as_ref().unwrap();
    // As LLVM begins what `llvm-profdata merge` writes.
    let profdata = fs::read(root().join(work.profdata)).unwrap();
    assert!(profdata.starts_with(b"\xfflprofi\x81"), "{:?}", profdata.get(..8));
    let symbols = fs::read_to_string(root().join(work.symbols)).unwrap();
    assert!(symbols.lines().any(|name| name == "main"), "{} names", symbols.lines().count());
}

#[test]
fn an_unknown_image_is_refused_with_those_that_there_are() {
    let error = Image::named("proxi").unwrap_err().to_string();
    assert!(error.contains("proxi") && error.contains("proxy, control-plane"), "{error}");
}

#[test]
fn the_chart_and_the_samples_ask_for_images_of_this_version_and_these_names() {
    let chart = fs::read_to_string(root().join("charts/weft/Chart.yaml")).unwrap();
    assert!(chart.contains(&format!("appVersion: {}\n", env!("CARGO_PKG_VERSION"))), "{chart}");
    let values = fs::read_to_string(root().join("charts/weft/values.yaml")).unwrap();
    let (registry, repository) = REPOSITORY.split_once('/').unwrap();
    assert!(values.contains(&format!("registry: {registry}\n  repository: {repository}\n")), "{values}");

    let manifest = fs::read_to_string(root().join("docs/examples/feelgood/feelgood.yaml")).unwrap();
    let asked: Vec<_> = manifest.lines().filter_map(|line| line.trim().strip_prefix("image: ")).collect();
    let samples = Image::named("samples").unwrap().reference();
    assert_eq!(asked, [samples.as_str(); 2]);
}
