use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::Sha256;
use twentyfirst_protocol::Timestamp;
use twentyfirst_protocol::tokens::Token;

use crate::auth::Credential;
use crate::request::{Call, member};
use crate::responses::{Refusal, RelayResponse, json_response};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// `POST /v1/tokens`
pub(crate) async fn create(call: Call) -> Result<RelayResponse, Refusal> {
    if matches!(call.caller.credential, Credential::Token(_)) {
        return Err(Refusal::Text(
            StatusCode::FORBIDDEN,
            "Tokens cannot create other tokens. Use an API key (21st_sk_).".to_owned(),
        ));
    }
    // A missing body crashes the relay's handler, and so does a lifetime that is not a string.
    let members = call.members().ok_or_else(Refusal::crash)?;
    let lifetime = match members.get("expiresIn") {
        None => HOUR,
        Some(raw) => match serde_json::from_str(raw.get()) {
            Ok(Some(text)) => seconds(text),
            Ok(None) => HOUR,
            Err(_) => return Err(Refusal::crash()),
        },
    };
    // Do not ignore an invalid list of agents: the token would then be for all agents.
    let agents = match members.get("agents") {
        None => None,
        Some(raw) => serde_json::from_str(raw.get()).map_err(|_| Refusal::crash())?,
    };
    let now = SystemTime::now();
    let issued = unix(now);
    let claims = Claims {
        team_id: call.caller.team,
        agents,
        user_id: member(&members, "userId"),
        end_user_id: member(&members, "endUserId"),
        max_messages: member(&members, "maxMessages"),
        metadata: member(&members, "metadata"),
        iat: issued,
        exp: issued + lifetime,
    };
    // As at the relay, the token has whole seconds and the response does not.
    let expires = now + Duration::from_secs(lifetime);
    let token = format!("an_t_{}", call.relay.signer.sign(&claims));
    Ok(json_response(
        StatusCode::CREATED,
        &Token::new(token, Timestamp::from(expires)),
    ))
}

/// Parses a lifetime of the form `<digits><s|m|h|d>`, up to a day. Returns an hour for anything else.
fn seconds(lifetime: &str) -> u64 {
    let parse = || {
        let (digits, unit) = lifetime.split_at_checked(lifetime.len().checked_sub(1)?)?;
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => HOUR,
            "d" => DAY,
            _ => return None,
        };
        let count = digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse::<u64>().ok())??;
        Some(count.saturating_mul(unit).min(DAY))
    };
    parse().unwrap_or(HOUR)
}

/// The claims of a token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) team_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agents: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end_user_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_messages: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<Map<String, Value>>,
    pub(crate) iat: u64,
    pub(crate) exp: u64,
}

impl Claims {
    /// Returns whether the token is for this agent. An empty list of agents means all agents, like an absent one.
    pub(crate) fn allows(&self, agent: &str) -> bool {
        self.agents
            .as_ref()
            .is_none_or(|agents| agents.is_empty() || agents.iter().any(|slug| slug == agent))
    }
}

/// Signs and verifies tokens: JWTs (RFC 7519) with HMAC-SHA-256 only.
pub(crate) struct Signer {
    mac: Hmac<Sha256>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
}

impl Signer {
    /// Creates a signer with a new secret. A relay refuses the tokens of every other relay.
    pub(crate) fn random() -> Self {
        let mut secret = [0; 32];
        secret[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        secret[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        Self::new(&secret)
    }

    fn new(secret: &[u8; 32]) -> Self {
        let mut key = hmac::digest::Key::<Hmac<Sha256>>::default();
        key[..secret.len()].copy_from_slice(secret);
        Self {
            mac: Hmac::new(&key),
        }
    }

    pub(crate) fn sign(&self, claims: &Claims) -> String {
        let encode = |json: serde_json::Result<Vec<u8>>| {
            // Strings, numbers and JSON values always serialize.
            URL_SAFE_NO_PAD.encode(json.unwrap_or_default())
        };
        let header = Header {
            alg: "HS256".to_owned(),
        };
        let header = encode(serde_json::to_vec(&header));
        let signed = format!("{header}.{}", encode(serde_json::to_vec(claims)));
        let signature = self.mac.clone().chain_update(&signed).finalize();
        let signature = URL_SAFE_NO_PAD.encode(signature.into_bytes());
        format!("{signed}.{signature}")
    }

    /// Returns the claims of a token, if its signature is valid and it has not expired.
    pub(crate) fn verify(&self, token: &str, now: SystemTime) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let mac = self.mac.clone().chain_update(signed);
        mac.verify_slice(&signature).ok()?;
        let (header, claims) = signed.split_once('.')?;
        let header: Header = decode(header)?;
        let claims: Claims = decode(claims)?;
        (header.alg == "HS256" && unix(now) < claims.exp).then_some(claims)
    }
}

fn decode<T: serde::de::DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn unix(moment: SystemTime) -> u64 {
    moment
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_has_its_claims_until_it_expires_and_no_changed_token_is_valid(
            secret: [u8; 32],
            team in ".{0,20}",
            agents: Option<Vec<String>>,
            at: prop::sample::Index,
            change in 1..=255_u8,
        ) {
            let signer = Signer::new(&secret);
            let claims = Claims {
                team_id: team,
                agents,
                user_id: None,
                end_user_id: None,
                max_messages: None,
                metadata: None,
                iat: 1_000,
                exp: 2_000,
            };
            let moment = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let token = signer.sign(&claims);
            prop_assert_eq!(signer.verify(&token, moment(1_999)), Some(claims));
            prop_assert_eq!(signer.verify(&token, moment(2_000)), None);

            let mut changed = token.into_bytes();
            let at = at.index(changed.len());
            changed[at] ^= change;
            if let Ok(changed) = String::from_utf8(changed) {
                prop_assert_eq!(signer.verify(&changed, moment(1_999)), None);
            }
        }
    }
}
