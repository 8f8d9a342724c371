use serde_json::Value;

use super::*;

fn review(change: impl FnOnce(&mut Value)) -> Result<Workload, NotAWorkload> {
    let mut status = json!({
        "authenticated": true,
        "audiences": ["weft.dev"],
        "user": {
            "username": "system:serviceaccount:shop:cart",
            "uid": "1",
            "groups": ["system:serviceaccounts"],
            "extra": { POD_NAME: ["cart-1"], POD_UID: ["u-1"], "authentication.kubernetes.io/node-name": ["n1"] },
        },
    });
    change(&mut status);
    workload(serde_json::from_value(status).unwrap())
}

#[test]
fn a_review_says_who_holds_a_token() {
    let expected = Workload {
        namespace: "shop".to_owned(),
        service_account: "cart".to_owned(),
        pod: "cart-1".to_owned(),
        pod_uid: "u-1".to_owned(),
    };
    assert_eq!(review(|_| {}), Ok(expected));
}

#[test]
fn nobody_else_is_let_in() {
    let words = json!("it has expired");
    let unauthenticated = |status: &mut Value| {
        status["authenticated"] = json!(false);
        status["error"] = words;
    };
    assert_eq!(review(unauthenticated), Err(NotAWorkload::Unauthenticated("it has expired".to_owned())));
    assert_eq!(review(|status| status["audiences"] = json!([])), Err(NotAWorkload::Audience));
    assert_eq!(review(|status| status["audiences"] = json!(["other"])), Err(NotAWorkload::Audience));
    assert_eq!(review(|status| status["user"]["username"] = json!("admin")), Err(NotAWorkload::NotAccount));
    let node = json!("system:node:n1");
    assert_eq!(review(|status| status["user"]["username"] = node), Err(NotAWorkload::NotAccount));
    for key in [POD_NAME, POD_UID] {
        assert_eq!(review(|status| status["user"]["extra"][key] = json!([])), Err(NotAWorkload::NotBound));
        assert_eq!(review(|status| status["user"]["extra"][key] = json!([""])), Err(NotAWorkload::NotBound));
        assert_eq!(
            review(|status| status["user"]["extra"][key] = json!(["a", "b"])),
            Err(NotAWorkload::NotBound)
        );
    }
    let without_extra = |status: &mut Value| drop(status["user"].as_object_mut().unwrap().remove("extra"));
    assert_eq!(review(without_extra), Err(NotAWorkload::NotBound));
}
