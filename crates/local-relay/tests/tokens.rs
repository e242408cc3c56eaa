//! Tokens: their signature, expiry and restrictions.

mod common;

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use common::{Client, user};
use serde_json::{Value, json};
use twentyfirst_local_relay::LocalRelay;
use twentyfirst_protocol::Timestamp;

async fn token(client: &Client, body: Value) -> String {
    let token = client.post("/v1/tokens", body).await.expect(201);
    token["token"].as_str().unwrap().to_owned()
}

/// Sends a request with this token, and returns the status and the error of the response.
async fn response(client: &Client, token: &str) -> (u16, Value) {
    let reply = client.with_key(token).get("/v1/sandboxes/none").await;
    (reply.status.as_u16(), reply.json()["error"].clone())
}

#[tokio::test]
async fn only_tokens_of_this_relay_are_accepted() {
    let (relay, other) = (LocalRelay::start().unwrap(), LocalRelay::start().unwrap());
    let (client, other) = (Client::new(&relay), Client::new(&other));
    let good = token(&client, json!({})).await;
    assert_eq!(
        response(&client, &good).await.0,
        404,
        "the token is taken, the sandbox is not there"
    );

    let jwt = good.strip_prefix("an_t_").unwrap();
    let parts: Vec<&str> = jwt.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("not a JWT: {jwt}")
    };
    let decoded: Value = serde_json::from_slice(&BASE64.decode(claims).unwrap()).unwrap();
    let mut richer = decoded.clone();
    richer["team_id"] = "another".into();
    let richer = BASE64.encode(richer.to_string());
    let unsigned = BASE64.encode(r#"{"alg":"none"}"#);
    let forged = [
        format!("{header}.{richer}.{signature}"),
        format!("{unsigned}.{claims}."),
        format!("{unsigned}.{claims}.{signature}"),
        format!("{header}.{claims}."),
        format!("{header}.{claims}"),
        format!("{header}.{claims}.{}", BASE64.encode([0; 32])),
        format!("{header}.{claims}.{}", &signature[..signature.len() - 4]),
        String::new(),
    ];
    let refused = (401, json!("Invalid or expired token"));
    for forged in forged {
        assert_eq!(
            response(&client, &format!("an_t_{forged}")).await,
            refused,
            "{forged}"
        );
    }
    let foreign = token(&other, json!({})).await;
    assert_eq!(response(&client, &foreign).await, refused);
}

#[tokio::test]
async fn a_token_expires() {
    let relay = LocalRelay::start().unwrap();
    let client = Client::new(&relay);
    let short = token(&client, json!({ "expiresIn": "1s" })).await;
    let over = token(&client, json!({ "expiresIn": "0s" })).await;
    assert_eq!(response(&client, &over).await.0, 401);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(response(&client, &short).await.0, 401);
}

#[tokio::test]
async fn lifetimes_are_parsed_as_by_the_relay() {
    let relay = LocalRelay::start().unwrap();
    let client = Client::new(&relay);
    for (given, seconds) in [
        (json!("30s"), 30),
        (json!("15m"), 900),
        (json!("2h"), 7200),
        (json!("1d"), 86_400),
        (json!("7d"), 86_400),
        (json!("99999999999999999999d"), 3600),
        (json!("1.5h"), 3600),
        (json!("90min"), 3600),
        (json!("ü"), 3600),
        (json!(""), 3600),
        (Value::Null, 3600),
    ] {
        let made = client
            .post("/v1/tokens", json!({ "expiresIn": given }))
            .await;
        let expires: Timestamp =
            serde_json::from_value(made.expect(201)["expiresAt"].take()).unwrap();
        let left = expires
            .to_system_time()
            .unwrap()
            .duration_since(SystemTime::now());
        let left = left.unwrap().as_secs_f64();
        assert!((f64::from(seconds) - left).abs() < 5.0, "{given}: {left}");
    }
}

#[tokio::test]
async fn an_invalid_list_of_agents_makes_no_token() {
    let relay = LocalRelay::start().unwrap();
    let client = Client::new(&relay);
    for agents in [json!("echo"), json!([1]), json!({ "echo": true }), json!(1)] {
        let reply = client.post("/v1/tokens", json!({ "agents": agents })).await;
        assert_eq!(reply.status, 500, "{agents}");
    }
    token(&client, json!({ "agents": null })).await;
}

#[tokio::test]
async fn the_agents_of_a_token_restrict_only_chat() {
    let relay = LocalRelay::start().unwrap();
    let client = Client::new(&relay);
    let made = token(
        &client,
        json!({ "agents": ["shell"], "endUserId": "end_9" }),
    )
    .await;
    let browser = client.with_key(&made);
    let sandbox = browser.create_sandbox("echo").await;
    let body = json!({ "messages": [user("Hi")], "sandboxId": sandbox });
    let (status, code, message) = browser.post("/v1/chat/echo", body).await.error();
    assert_eq!((status, code.as_str()), (403, "invalid_request"));
    assert_eq!(message, "Token is not authorized for agent \"echo\"");
    for method in ["GET", "DELETE"] {
        let target = format!("/v1/chat/echo/{sandbox}/stream");
        let request = browser.request(method, &target).body("".into()).unwrap();
        assert_eq!(browser.send(request).await.status, 403);
    }

    let sandbox = browser.create_sandbox("shell").await;
    let body = |user_id: &str| {
        json!({
            "messages": [user("echo $((20 + 3))")],
            "sandboxId": sandbox,
            "externalUserId": user_id,
        })
    };
    let mut stream = browser.chat_with("shell", body(" end_9 ")).await;
    assert!(stream.rest().await.concat().contains("23"));
    assert_eq!(
        browser.post("/v1/chat/shell", body("end_8")).await.status,
        403
    );
    assert_eq!(browser.post("/v1/tokens", json!({})).await.status, 403);
    let vaults = browser.get("/v1/mcp/vaults").await;
    assert_eq!(vaults.expect(403)["error"], "api_key_required");
}
