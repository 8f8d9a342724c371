use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

fn options(arguments: &[&str]) -> Options {
    Line::parse_from(["inject"].iter().chain(arguments)).options
}

#[test]
fn the_mesh_is_that_of_flags_and_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("injector.yaml");
    fs::write(&path, "trustDomain: example.org\nproxy: {image: a, logLevel: debug}\n").unwrap();
    let path = path.to_str().unwrap();
    let made =
        installation(&options(&["-", "--config", path, "--mesh-namespace", "mesh", "--image", "b"])).unwrap();
    assert_eq!(made.control_plane_identity, "spiffe://example.org/ns/mesh/sa/weft-control-plane");
    assert_eq!((made.proxy.image.as_str(), made.proxy.log_level.as_str()), ("b", "debug"));
    assert!(installation(&options(&["-", "--config", "nowhere.yaml"])).is_err());
}

#[test]
fn everything_about_an_object_is_told() {
    let outcome = Outcome {
        object: "pod/a".to_owned(),
        done: Done::Refused("no".to_owned()),
        warnings: vec!["careful".to_owned()],
    };
    assert_eq!(told(&outcome), ["pod/a: refused: no", "pod/a: warning: careful"]);
}
