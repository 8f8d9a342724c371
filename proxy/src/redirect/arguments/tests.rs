use super::*;

fn parsed(line: &str) -> Result<(Mode, Settings), InvalidArgument> {
    parse(&line.split_whitespace().collect::<Vec<_>>())
}

#[test]
fn without_flags_the_mesh_s_own_ports_hold() {
    let (mode, settings) = parsed("").unwrap();
    assert_eq!(mode, Mode::Install);
    assert_eq!((settings.inbound_port, settings.outbound_port, settings.proxy_uid), (4143, 4140, 2112));
    assert!(settings.skip_inbound.ranges().is_empty() && settings.skip_outbound.ranges().is_empty());
}

#[test]
fn every_flag_is_obeyed_in_both_forms() {
    let separate = "--inbound-port 1 --outbound-port 2 --proxy-uid 3 --skip-inbound-ports 4,5-6 \
                    --skip-outbound-ports 7 --verify";
    let attached = "--inbound-port=1 --outbound-port=2 --proxy-uid=3 --skip-inbound-ports=4,5-6 \
                    --skip-outbound-ports=7 --verify";
    let (mode, settings) = parsed(separate).unwrap();
    let expected = Settings {
        inbound_port: 1,
        outbound_port: 2,
        proxy_uid: 3,
        skip_inbound: "4-6".parse().unwrap(),
        skip_outbound: "7".parse().unwrap(),
    };
    assert_eq!((mode, &settings), (Mode::Verify, &expected));
    assert_eq!(parsed(attached), Ok((mode, settings)));
    assert_eq!(parsed("--dry-run").unwrap().0, Mode::DryRun);
    assert_eq!(parsed("--help").unwrap().0, Mode::Help);
}

#[test]
fn mistakes_name_their_flag() {
    for (line, named) in [
        ("--inbound-port 0", "--inbound-port: `0` is not a port"),
        ("--outbound-port 65536", "--outbound-port: `65536` is not a port"),
        ("--skip-inbound-ports 9010-9000", "--skip-inbound-ports: `9010-9000` goes from high to low"),
        ("--skip-outbound-ports ssh", "--skip-outbound-ports: `ssh` is not a port"),
        ("--skip-outbound-ports", "--skip-outbound-ports needs a value"),
        ("--proxy-uid weft", "--proxy-uid: `weft` is not"),
        ("--proxy-uid -1", "--proxy-uid: `-1` is not"),
        ("--proxy-uid 4294967295", "--proxy-uid: `4294967295` is not"),
        ("--proxy-uid 0", "--proxy-uid: 0 is root"),
        ("--dry-run=yes", "--dry-run takes no value"),
        ("--dry-run --dry-run", "--dry-run is given twice"),
        ("--dry-run --verify", "exclude each other"),
        ("--skip-ports 1", "`--skip-ports` is not a flag"),
        ("4143", "`4143` is not a flag"),
        ("--inbound-port 4140", "--outbound-port: 4140 is taken by --inbound-port"),
        ("--inbound-port 4191", "--inbound-port: 4191 is taken by metrics"),
        ("--outbound-port 4191", "--outbound-port: 4191 is taken by metrics"),
        ("--skip-inbound-ports 4000-5000", "--skip-inbound-ports: 4140 is the outbound port"),
    ] {
        let error = parsed(line).unwrap_err().to_string();
        assert!(error.contains(named), "{line}: {error}");
    }
}

#[test]
fn the_usage_names_every_flag_and_the_defaults() {
    for (flag, _) in FLAGS.iter().filter(|(flag, _)| *flag != HELP) {
        assert!(USAGE.contains(flag), "{flag}");
    }
    let defaults = Settings::default();
    for default in [defaults.inbound_port.into(), defaults.outbound_port.into(), defaults.proxy_uid] {
        assert!(USAGE.contains(&format!("({default})")), "{default}");
    }
}
