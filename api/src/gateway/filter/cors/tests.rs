use super::*;

fn checked(cors: &str) -> Result<(), String> {
    let cors: Cors = serde_json::from_str(cors).unwrap();
    cors.validate("cors").map_err(|violation| violation.field)
}

#[test]
fn what_the_types_cannot_say_is_named_by_its_field() {
    for (cors, field) in [
        (r#"{"allowOrigins": ["*", "https://a"]}"#, "cors.allowOrigins"),
        (r#"{"allowOrigins": ["https://a", "a.b"]}"#, "cors.allowOrigins[1]"),
        (r#"{"allowOrigins": ["https://"]}"#, "cors.allowOrigins[0]"),
        (r#"{"allowOrigins": ["https://a/b"]}"#, "cors.allowOrigins[0]"),
        (r#"{"allowOrigins": ["https://a:0"]}"#, "cors.allowOrigins[0]"),
        (r#"{"allowMethods": ["GET", "*"]}"#, "cors.allowMethods"),
        (r#"{"allowMethods": ["A B"]}"#, "cors.allowMethods[0]"),
        (r#"{"allowHeaders": ["x-a", "x,b"]}"#, "cors.allowHeaders[1]"),
        (r#"{"exposeHeaders": [""]}"#, "cors.exposeHeaders[0]"),
        (r#"{"maxAge": 0}"#, "cors.maxAge"),
    ] {
        assert_eq!(checked(cors), Err(field.to_owned()), "{cors}");
    }
    for fine in [
        "{}",
        r#"{"allowOrigins": ["*"], "allowMethods": ["*"], "allowHeaders": ["*"], "exposeHeaders": ["*"]}"#,
        r#"{"allowOrigins": ["https://*.a.b:8443", "http://*"], "allowCredentials": true, "maxAge": 600}"#,
    ] {
        assert_eq!(checked(fine), Ok(()), "{fine}");
    }
}
