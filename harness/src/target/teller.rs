//! Reads what an operator tells of itself: the built-in one through its own door, another by URL.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Request;
use http_body_util::{BodyExt, Limited};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use slipway_operator::kit::error::{chain, message};
use slipway_operator::runtime::Door;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Teller;
use crate::sli::scrape::token::{Token, TokenError};
use crate::sli::scrape::{Credentials, Endpoint};

/// As much as is read of one answer; an operator's metrics are a hundredth of it.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long a token counts that is asked for: the shortest that there is. Another is asked for after half of it.
const TOKEN_LIFE: Duration = Duration::from_mins(10);

/// An operator in this process.
pub(super) struct Behind(pub(super) Door);

impl Teller for Behind {
    fn metrics(&self) -> BoxFuture<'_, Option<Result<String, String>>> {
        async {
            let request = Request::get("/metrics").body(Bytes::new()).ok()?;
            let response = self.0.call(request.map(Into::into)).await.ok()?;
            if !response.status().is_success() {
                return Some(Err(format!("the operator answered {} to /metrics", response.status())));
            }
            let body = Limited::new(response.into_body(), BYTES_MAX).collect().await;
            Some(match body.map(|body| String::from_utf8(body.to_bytes().into())) {
                Ok(Ok(text)) => Ok(text),
                Ok(Err(_)) => Err("the operator's metrics are no text".to_owned()),
                Err(error) => Err(format!("the operator's metrics broke off: {error}")),
            })
        }
        .boxed()
    }
}

/// An operator elsewhere, which tells its metrics by URL.
pub(super) struct Elsewhere {
    endpoint: Arc<Endpoint>,
    client: Client,
    /// A token that was asked for, and when it was.
    kept: Mutex<Option<(Token, Instant)>>,
}

impl Elsewhere {
    /// Asks there; the client is for the token, where one has to be asked for.
    pub(super) fn new(endpoint: Arc<Endpoint>, client: Client) -> Self {
        Self { endpoint, client, kept: Mutex::default() }
    }

    async fn token(&self) -> Result<Option<Token>, TokenError> {
        let (namespace, name) = match &self.endpoint.credentials {
            Credentials::None => return Ok(None),
            Credentials::File(path) => return Token::read(path).map(Some),
            Credentials::ServiceAccount { namespace, name } => (namespace, name),
        };
        let mut kept = self.kept.lock().await;
        if let Some((token, asked)) = &*kept
            && asked.elapsed() < TOKEN_LIFE / 2
        {
            return Ok(Some(token.clone()));
        }
        let account = format!("{namespace}/{name}");
        let spec = TokenRequestSpec {
            expiration_seconds: i64::try_from(TOKEN_LIFE.as_secs()).ok(),
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let accounts = Api::<ServiceAccount>::namespaced(self.client.clone(), namespace);
        let given = accounts.create_token_request(name, &PostParams::default(), &request).await;
        let given = given.map_err(|error| TokenError::NotGiven { account: account.clone(), why: message(&error) })?;
        let token = Token::new(&given.status.and_then(|status| status.token).unwrap_or_default(), &account)?;
        *kept = Some((token.clone(), Instant::now()));
        Ok(Some(token))
    }
}

impl Teller for Elsewhere {
    fn metrics(&self) -> BoxFuture<'_, Option<Result<String, String>>> {
        async {
            let token = match self.token().await {
                Ok(token) => token,
                Err(error) => return Some(Err(chain(&error).to_string())),
            };
            // On a thread of its own the call goes by the machine's clock, and virtual time stands still meanwhile.
            let scraper = self.endpoint.scraper.clone();
            let asked = tokio::task::spawn_blocking(move || scraper.scrape_now(token.as_ref())).await;
            Some(match asked {
                Ok(answer) => answer.map_err(|error| chain(&error).to_string()),
                Err(_) => Err("asking for the operator's metrics did not come to an end".to_owned()),
            })
        }
        .boxed()
    }
}
