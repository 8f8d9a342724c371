use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("config.yaml"), text)
}

#[test]
fn nothing_is_a_configuration() {
    for text in ["", "\n", "# nothing\n", "{}", "---\n"] {
        assert_eq!(parse(text).unwrap(), Config::default(), "{text:?}");
    }
    let installation = Config::default().installation("mesh").unwrap();
    assert_eq!(installation.control_plane, "weft-control-plane.mesh.svc:15012");
    assert_eq!(installation.control_plane_identity, "spiffe://cluster.local/ns/mesh/sa/weft-control-plane");
    assert_eq!(installation.proxy.admin().to_string(), "0.0.0.0:4191");
}

#[test]
fn the_file_in_the_documentation_says_the_defaults() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/injection.md");
    let page = fs::read_to_string(page).unwrap();
    let from = page.find("listen: 0.0.0.0:8443").unwrap();
    let text = &page[from..from + page[from..].find("```").unwrap()];
    let mut config = parse(text).unwrap();
    let namespace = names::SYSTEM_NAMESPACE;
    assert_eq!(config.installation(namespace).unwrap(), Config::default().installation(namespace).unwrap());
    config.control_plane.address = None;
    assert_eq!(config, Config::default());
}

#[test]
fn what_is_written_wrong_is_named_with_its_line() {
    for (text, named) in [
        ("listen: 0.0.0.0:8443\nadmn: 0.0.0.0:1\n", "line 2: "),
        ("listen: here\n", "line 1: "),
        ("proxy:\n  cpuRequest: lots\n", "line 2: "),
        ("redirect: iptables\n", "line 1: "),
        ("certificate: {source: vault}\n", "line 1: "),
        ("a: [\n", "line "),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with("config.yaml: ") && error.contains(named), "{text:?}: {error}");
    }
    let error = Config::load(Path::new("nowhere.yaml")).unwrap_err().to_string();
    assert!(error.contains("nowhere.yaml"), "{error}");
}

fn tracing(endpoint: &str, ratio: f64) -> Tracing {
    Tracing { endpoint: endpoint.to_owned(), identity: None, ratio }
}

#[test]
fn what_would_end_in_a_bootstrap_is_checked() {
    type Change = fn(&mut Config);
    let cases: [(Change, &str); 8] = [
        (|config| config.trust_domain = "$(POD)".to_owned(), "trustDomain"),
        (|config| config.trust_domain = "Example.org".to_owned(), "trustDomain"),
        (|config| config.control_plane.service_account = "a/b".to_owned(), "controlPlane.serviceAccount"),
        (|config| config.control_plane.address = Some("host".to_owned()), "controlPlane.address"),
        (|config| config.control_plane.address = Some("$(HOST):1".to_owned()), "controlPlane.address"),
        (|config| config.proxy.log_level = "loud".to_owned(), "proxy.logLevel"),
        (|config| config.proxy.tracing = Some(tracing("$(HOST):4317", 0.5)), "proxy.tracing.endpoint"),
        (|config| config.proxy.tracing = Some(tracing("collector:4317", 5.0)), "proxy.tracing.ratio"),
    ];
    for (change, field) in cases {
        let mut config = Config::default();
        change(&mut config);
        let error = config.installation("weft-system").unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
    assert!(Config::default().installation("Not A Namespace").is_err());
    let mut ipv6 = Config::default();
    ipv6.control_plane.address = Some("[fd00::1]:15012".to_owned());
    assert!(ipv6.installation("weft-system").is_ok());
}
