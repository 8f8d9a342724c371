use super::*;

const LEAST: &str = "source: {directory: objects}\nauthority: {directory: ca}\n\
                     authentication: {localIssuer: {publicKey: issuer.pub}}\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("weft.yaml"), text)
}

#[test]
fn the_rest_has_defaults() {
    let config = parse(LEAST).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:15012");
    assert_eq!(config.admin.to_string(), "127.0.0.1:15014");
    assert_eq!(config.trust_domain, "cluster.local");
    assert_eq!(config.certificate_lifetime, Duration::from_secs(86_400));
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(parse(&json).unwrap(), config, "what is written is read back");
}

#[test]
fn errors_name_file_line_and_field() {
    let table = [
        ("listn: 127.0.0.1:1", "weft.yaml:4: listn is not a field that is known here"),
        ("listen: 127.0.0.1", "weft.yaml:4: listen invalid socket address"),
        ("trustDomain: Mesh", "weft.yaml:4: trustDomain is `Mesh`"),
        ("certificateLifetime: 30s", "weft.yaml:4: certificateLifetime is 30s; it must be within 1m to 720h"),
        ("a: [", "weft.yaml:"),
    ];
    for (line, says) in table {
        let error = parse(&format!("{LEAST}{line}\n")).unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }
    assert!(parse("").unwrap_err().to_string().contains("source is missing"));
}
