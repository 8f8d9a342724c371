use std::{env, fs, path::Path};

use super::*;

#[test]
fn the_chart_holds_what_the_types_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/weft-crds/templates");
    let definitions = [
        authorization_policy(),
        circuit_breaker_policy(),
        fault_injection_policy(),
        load_balancer_policy(),
        rate_limit_policy(),
        retry_policy(),
    ];
    for definition in &definitions {
        let plural = definition["spec"]["names"]["plural"].as_str().unwrap();
        let file = folder.join(format!("{plural}.yaml"));
        if env::var_os("WEFT_REGENERATE").is_some() {
            let text = serde_saphyr::to_string(definition).unwrap();
            fs::write(
                &file,
                format!("# Made from api/src: WEFT_REGENERATE=1 cargo test -p weft-api\n{text}"),
            )
            .unwrap();
        }
        let text = fs::read_to_string(&file).unwrap();
        let written: Value = serde_saphyr::from_str(&text).unwrap();
        assert!(written == *definition, "{}; WEFT_REGENERATE=1 writes it anew", file.display());
        // Helm would read these as a template's.
        assert!(!text.contains("{{"), "{}", file.display());
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), definitions.len(), "a file of a kind that is no more");
}

#[test]
fn names_are_those_of_the_group() {
    let [authorization, breaker, retry] = [authorization_policy(), circuit_breaker_policy(), retry_policy()];
    let [faults, balancers] = [fault_injection_policy(), load_balancer_policy()];
    assert_eq!(authorization["metadata"]["name"], "authorizationpolicies.policy.weft.dev");
    assert_eq!(authorization["spec"]["names"]["shortNames"], json!(["azp"]));
    assert_eq!(breaker["metadata"]["name"], "circuitbreakerpolicies.policy.weft.dev");
    assert_eq!(breaker["spec"]["names"]["shortNames"], json!(["cbp"]));
    assert_eq!(retry["metadata"]["name"], "retrypolicies.policy.weft.dev");
    assert_eq!(retry["spec"]["versions"][0]["name"], "v1alpha1");
    assert_eq!(balancers["metadata"]["name"], "loadbalancerpolicies.policy.weft.dev");
    for definition in [authorization, balancers, breaker, faults, retry] {
        let columns = definition["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap();
        let spec = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        // A column of a field that is not there shows nothing, and nobody hears of it.
        for path in columns.iter().filter_map(|column| column["jsonPath"].as_str()?.strip_prefix(".spec.")) {
            let field = path.split(['.', '[']).next().unwrap();
            assert!(!spec["properties"][field].is_null(), "{path}");
        }
    }
}
