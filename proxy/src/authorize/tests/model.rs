//! Policies as people write them, decided by going through them, against the same policies as filters.

use proptest::{collection::vec, option, prelude::*};

use super::*;

#[derive(Clone, Debug)]
struct Policy {
    is_denial: bool,
    is_audit: bool,
    rules: Vec<Rule>,
}

/// What is absent asks nothing; an empty list of sources is nobody.
#[derive(Clone, Debug)]
struct Rule {
    sources: Option<Vec<Source>>,
    ports: Option<Vec<u16>>,
    methods: Option<Vec<&'static str>>,
    prefixes: Option<Vec<&'static str>>,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Account(&'static str),
    Namespace(&'static str),
    Member,
    Network(&'static str),
}

#[derive(Clone, Debug)]
struct Call {
    account: Option<&'static str>,
    address: &'static str,
    port: u16,
    /// `None` = bytes that nobody looks at.
    request: Option<(&'static str, &'static str)>,
}

fn id(account: &str) -> String {
    let (namespace, name) = account.split_once('/').unwrap();
    format!("spiffe://cluster.local/ns/{namespace}/sa/{name}")
}

impl Source {
    fn is(self, call: &Call) -> bool {
        match self {
            Self::Account(account) => call.account == Some(account),
            Self::Namespace(namespace) => {
                call.account.is_some_and(|account| account.split('/').next() == Some(namespace))
            }
            Self::Member => call.account.is_some(),
            // Both networks of the model are told by their first number.
            Self::Network(network) => network.split('.').next() == call.address.split('.').next(),
        }
    }

    fn condition(self) -> Condition {
        match self {
            Self::Account(account) => Condition::Identity(exact(&id(account))),
            Self::Namespace(namespace) => Condition::Identity(prefix(&id(&format!("{namespace}/")))),
            Self::Member => Condition::Authenticated,
            Self::Network(network) => Condition::Network(network.parse().unwrap()),
        }
    }
}

impl Rule {
    fn matches(&self, call: &Call, is_denial: bool) -> bool {
        let connection = self.sources.as_ref().is_none_or(|all| all.iter().any(|source| source.is(call)))
            && self.ports.as_ref().is_none_or(|ports| ports.contains(&call.port));
        let asks = self.methods.is_some() || self.prefixes.is_some();
        let request = match call.request {
            None if asks => is_denial,
            None => true,
            Some((method, path)) => {
                let below = |prefix: &&str| path == *prefix || path.starts_with(&format!("{prefix}/"));
                self.methods.as_ref().is_none_or(|methods| methods.contains(&method))
                    && self.prefixes.as_ref().is_none_or(|prefixes| prefixes.iter().any(below))
            }
        };
        connection && request
    }

    fn condition(&self) -> Condition {
        fn any<T>(list: Option<&Vec<T>>, condition: impl Fn(&T) -> Condition) -> Condition {
            list.map_or(Condition::Always, |list| Condition::AnyOf(list.iter().map(condition).collect()))
        }
        let below = |path: &&str| {
            let (whole, within) = (exact(path), prefix(&format!("{path}/")));
            Condition::AnyOf([Condition::Path(whole), Condition::Path(within)].into())
        };
        Condition::All(
            [
                any(self.sources.as_ref(), |source| source.condition()),
                any(self.ports.as_ref(), |port| Condition::Port(*port)),
                any(self.methods.as_ref(), |method| Condition::Method(method.parse().unwrap())),
                any(self.prefixes.as_ref(), below),
            ]
            .into(),
        )
    }
}

/// Whether `call` may enter, if `policies` are all there is, and all of them act.
fn may_enter(policies: &[&Policy], call: &Call) -> bool {
    let matches = |policy: &&Policy| policy.rules.iter().any(|rule| rule.matches(call, policy.is_denial));
    let (denials, allowances): (Vec<&Policy>, Vec<&Policy>) =
        policies.iter().copied().partition(|policy| policy.is_denial);
    !denials.iter().any(matches) && (allowances.is_empty() || allowances.iter().any(matches))
}

/// The filters that the control plane makes of `policies`.
fn filters(policies: &[Policy]) -> Authorization {
    let of = |is_denial: bool, audit: &[bool]| -> Vec<&Policy> {
        policies.iter().filter(|one| one.is_denial == is_denial && audit.contains(&one.is_audit)).collect()
    };
    let conditions = |policies: &[&Policy]| -> Vec<Condition> {
        policies.iter().flat_map(|policy| &policy.rules).map(Rule::condition).collect()
    };
    let denials = |policies: Vec<&Policy>| {
        let all = conditions(&policies).into_iter().map(|condition| (condition, refusal("deny")));
        (!policies.is_empty()).then(|| List::Deny(all.collect()))
    };
    let allowances = |audit: bool, among: &[bool]| {
        (!of(false, &[audit]).is_empty()).then(|| allow(conditions(&of(false, among))))
    };
    Authorization::new(vec![
        Filter { enforced: denials(of(true, &[false])), audited: denials(of(true, &[true])) },
        Filter { enforced: allowances(false, &[false]), audited: allowances(true, &[false, true]) },
    ])
}

const ACCOUNTS: [&str; 3] = ["shop/web", "shop/api", "jobs/web"];
const PREFIXES: [&str; 3] = ["/a", "/a/b", "/admin"];

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        prop::sample::select(&ACCOUNTS[..]).prop_map(Source::Account),
        prop::sample::select(&["shop", "jobs"][..]).prop_map(Source::Namespace),
        Just(Source::Member),
        prop::sample::select(&["10.0.0.0/8", "192.0.0.0/8"][..]).prop_map(Source::Network),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    (
        option::of(vec(source(), 0..3)),
        option::of(vec(prop::sample::select(&[80_u16, 5432][..]), 1..3)),
        option::of(vec(prop::sample::select(&["GET", "POST"][..]), 1..3)),
        option::of(vec(prop::sample::select(&PREFIXES[..]), 1..3)),
    )
        .prop_map(|(sources, ports, methods, prefixes)| Rule { sources, ports, methods, prefixes })
}

fn policy() -> impl Strategy<Value = Policy> {
    (any::<bool>(), any::<bool>(), vec(rule(), 0..3)).prop_map(|(is_denial, is_audit, rules)| Policy {
        is_denial,
        is_audit,
        rules,
    })
}

fn call() -> impl Strategy<Value = Call> {
    let request = (
        prop::sample::select(&["GET", "POST", "PUT"][..]),
        prop::sample::select(&["/", "/a", "/ab", "/a/b", "/a/bc", "/admin/x", "/adm"][..]),
    );
    (
        option::of(prop::sample::select(&ACCOUNTS[..])),
        prop::sample::select(&["10.0.0.1", "192.0.0.1", "172.0.0.1"][..]),
        prop::sample::select(&[80_u16, 5432, 9090][..]),
        option::of(request),
    )
        .prop_map(|(account, address, port, request)| Call { account, address, port, request })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]
    #[test]
    fn filters_decide_as_the_policies_say(policies in vec(policy(), 0..5), call in call()) {
        let identity = call.account.map(id).unwrap_or_default();
        let entrant = entrant(&identity, call.address, call.port);
        let method = call.request.map(|(method, _)| method.parse::<Method>().unwrap());
        let asked = call.request.zip(method.as_ref()).map(|((_, path), method)| Asked { method, path: Some(path) });
        let acting: Vec<&Policy> = policies.iter().filter(|policy| !policy.is_audit).collect();
        let all: Vec<&Policy> = policies.iter().collect();
        let authorization = filters(&policies);
        let verdict = authorization.decide(&entrant, asked);
        match (may_enter(&acting, &call), may_enter(&all, &call)) {
            (false, _) => prop_assert!(matches!(verdict, Verdict::Denied(_)), "{:?}", verdict),
            (true, false) => prop_assert!(matches!(verdict, Verdict::Audited(_)), "{:?}", verdict),
            (true, true) => prop_assert_eq!(verdict, Verdict::Allowed),
        }
    }
}
