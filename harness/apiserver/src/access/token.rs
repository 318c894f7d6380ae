//! Tokens of service accounts: what they say, how they are signed and read. Pure.
//!
//! A token is a JSON Web Token signed with Ed25519 (RFC 8037): unlike the signatures that a real cluster usually makes,
//! these need no chance, so that a server that is repeated repeats its tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::Timestamp;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Who issues the tokens, and whom they are meant for when nobody says.
pub const ISSUER: &str = "https://kubernetes.default.svc";

/// How far clocks may be apart, in seconds.
const LEEWAY: i64 = 60;

const ALGORITHM: &str = "EdDSA";

/// Why a token is not accepted; `Display` is what a `TokenReview` says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no token of this server.
    #[error("invalid bearer token")]
    Unknown,
    /// It is too old.
    #[error("service account token has expired")]
    Expired,
    /// It is from the future.
    #[error("service account token is not valid yet")]
    NotYet,
    /// It is for somebody else.
    #[error(
        "token audiences {} is invalid for the target audiences {}",
        crate::go::quoted_list(token),
        crate::go::quoted_list(target)
    )]
    Audience {
        /// Whom it is for.
        token: Vec<String>,
        /// Who was to accept it.
        target: Vec<String>,
    },
    /// Its account is gone.
    #[error("serviceaccounts {} not found", crate::field::quote(name))]
    NoAccount {
        /// The account's name.
        name: String,
    },
    /// Another object has its place.
    #[error("{what} UID ({uid}) does not match {claim} ({claimed})")]
    Replaced {
        /// The object's kind in lower case.
        what: &'static str,
        /// The uid it has.
        uid: String,
        /// What claims otherwise.
        claim: &'static str,
        /// The uid it should have.
        claimed: String,
    },
    /// The object it is bound to is gone.
    #[error("service account token has been invalidated")]
    Invalidated,
}

/// The key of one server.
pub struct Signer {
    /// None where the bytes were no key, which 32 bytes always are: then nothing is signed that anybody believes.
    pair: Option<Ed25519KeyPair>,
    id: String,
}

impl std::fmt::Debug for Signer {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Signer {
    /// A key made from these bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok();
        let id = BASE64.encode(Sha256::digest(public(pair.as_ref())));
        Self { pair, id }
    }

    /// Signs what a token says.
    pub fn sign(&self, claims: &Value) -> String {
        let head = json!({"alg": ALGORITHM, "kid": self.id});
        let text = format!("{}.{}", BASE64.encode(head.to_string()), BASE64.encode(claims.to_string()));
        let signature = self.pair.as_ref().map(|pair| BASE64.encode(pair.sign(text.as_bytes()))).unwrap_or_default();
        format!("{text}.{signature}")
    }

    /// What a token says, if this key has signed it.
    pub fn verify(&self, token: &str) -> Option<Value> {
        let (text, signature) = token.rsplit_once('.')?;
        let (head, claims) = text.split_once('.')?;
        let json = |part: &str| serde_json::from_slice::<Value>(&BASE64.decode(part).ok()?).ok();
        let head = json(head)?;
        if head["alg"] != ALGORITHM || head["kid"] != self.id.as_str() {
            return None;
        }
        let key = UnparsedPublicKey::new(&ED25519, public(self.pair.as_ref()));
        key.verify(text.as_bytes(), &BASE64.decode(signature).ok()?).ok()?;
        json(claims)
    }

    /// The public key, as a set that others verify tokens with.
    pub fn key_set(&self) -> Value {
        let key = BASE64.encode(public(self.pair.as_ref()));
        json!({"keys": [{"use": "sig", "kty": "OKP", "kid": self.id, "crv": "Ed25519", "alg": ALGORITHM, "x": key}]})
    }
}

fn public(pair: Option<&Ed25519KeyPair>) -> &[u8] {
    pair.map(|pair| pair.public_key().as_ref()).unwrap_or_default()
}

/// How others learn to verify tokens: the issuer's `/.well-known/openid-configuration`.
pub fn discovery() -> Value {
    json!({
        "issuer": ISSUER,
        "jwks_uri": format!("{ISSUER}/openid/v1/jwks"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
    })
}

/// Refuses a token that is too old, too new, or not for any of `audiences`; returns those of them it is for.
///
/// # Errors
/// See [`Refusal`].
pub fn check(claims: &Value, audiences: &[String], now: Timestamp) -> Result<Vec<String>, Refusal> {
    let texts = |value: &Value| match value {
        Value::String(one) => vec![one.clone()],
        many => many.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
    };
    let token = texts(&claims["aud"]);
    let shared: Vec<String> = token.iter().filter(|one| audiences.contains(one)).cloned().collect();
    if shared.is_empty() {
        return Err(Refusal::Audience { token, target: audiences.to_vec() });
    }
    let now = now.as_second();
    let time = |name: &str| claims[name].as_i64();
    if time("nbf").is_some_and(|from| now + LEEWAY < from) || time("iat").is_some_and(|made| now + LEEWAY < made) {
        return Err(Refusal::NotYet);
    }
    // A token without an end is none of ours.
    if time("exp").is_none_or(|end| now - LEEWAY > end) {
        return Err(Refusal::Expired);
    }
    Ok(shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(seed: u8) -> Signer {
        Signer::from_seed(&[seed; 32])
    }

    #[test]
    fn a_token_says_what_was_signed_and_nothing_else_is_believed() {
        let claims = json!({"sub": "system:serviceaccount:a:b"});
        let token = signer(1).sign(&claims);
        assert_eq!(signer(1).sign(&claims), token, "a server that is repeated repeats its tokens");
        assert_eq!(signer(1).verify(&token), Some(claims));
        assert_eq!(signer(2).verify(&token), None, "somebody else's key");
        let parts: Vec<&str> = token.split('.').collect();
        let forged = BASE64.encode(json!({"sub": "system:serviceaccount:kube-system:c"}).to_string());
        let unsigned = BASE64.encode(json!({"alg": "none"}).to_string());
        for bad in [
            format!("{}.{forged}.{}", parts[0], parts[2]),
            format!("{unsigned}.{}.", parts[1]),
            format!("{}.{}", parts[0], parts[1]),
            "a.b.c".to_owned(),
            String::new(),
        ] {
            assert_eq!(signer(1).verify(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_is_accepted_in_its_time_and_by_whom_it_is_for() {
        let claims = json!({"aud": ["x", "y"], "iat": 1000, "nbf": 1000, "exp": 2000});
        let audiences = ["y".to_owned(), "z".to_owned()];
        let at = |second: i64| check(&claims, &audiences, Timestamp::from_second(second).unwrap());
        assert_eq!(at(1500), Ok(vec!["y".to_owned()]));
        assert_eq!((at(940).is_ok(), at(939)), (true, Err(Refusal::NotYet)));
        assert_eq!((at(2060).is_ok(), at(2061)), (true, Err(Refusal::Expired)));
        let other = check(&claims, &["z".to_owned()], Timestamp::from_second(1500).unwrap()).unwrap_err();
        assert_eq!(other.to_string(), r#"token audiences ["x" "y"] is invalid for the target audiences ["z"]"#);
    }
}
