use super::*;
use crate::redirect::{arguments, rules};

fn shown(line: &str) -> String {
    let (_, settings) = arguments::parse(&line.split_whitespace().collect::<Vec<_>>()).unwrap();
    table(&rules::chains(&settings, rules::Unheard::Refused))
}

#[test]
fn the_default_redirect_reads_like_this() {
    let expected = r#"table inet weft {
	chain output {
		type nat hook output priority -100; policy accept;
		meta skuid 2112 accept comment "the sidecar's own connections"
		oifname "lo" accept comment "within the pod"
		meta l4proto tcp redirect to :4140 comment "everything else through the sidecar"
	}

	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
		tcp dport 4191 accept comment "metrics and health of the sidecar"
		meta l4proto tcp socket wildcard <= 1 redirect to :4143 comment "everything else that is heard, through the sidecar"
		meta l4proto tcp reject with tcp reset comment "nobody listens"
	}
}
"#;
    assert_eq!(shown(""), expected);
    assert!(include_str!("../../../../docs/redirect.md").contains(expected), "the page shows other rules");
}

#[test]
fn every_choice_is_in_the_rules() {
    let expected = r#"table inet weft {
	chain output {
		type nat hook output priority -100; policy accept;
		meta skuid 3000 accept comment "the sidecar's own connections"
		oifname "lo" accept comment "within the pod"
		tcp dport 25 accept comment "skipped on demand"
		tcp dport 3306-3307 accept comment "skipped on demand"
		meta l4proto tcp redirect to :5001 comment "everything else through the sidecar"
	}

	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
		tcp dport 4191 accept comment "metrics and health of the sidecar"
		tcp dport 22 accept comment "skipped on demand"
		meta l4proto tcp socket wildcard <= 1 redirect to :5000 comment "everything else that is heard, through the sidecar"
		meta l4proto tcp reject with tcp reset comment "nobody listens"
	}
}
"#;
    let line = "--inbound-port 5000 --outbound-port 5001 --proxy-uid 3000 --skip-inbound-ports 22 \
                --skip-outbound-ports 3307,25,3306";
    assert_eq!(shown(line), expected);
}
