//! The test of settings before they are saved.

use ::connection::{TestReport, Trial};

use super::settings::{Settings, checked_url};
use super::{Call, Problem};

/// Tests with these settings over those that are saved; nothing is saved.
pub(super) async fn test(call: &Call, new: &Settings, code: Option<&str>) -> Result<TestReport, Problem> {
    if code.is_some() {
        let remedy = "Test the settings without a code, save them, then test with the code.";
        return Err(Problem::invalid("`code` is good once, and this test saves no `settings`.", remedy));
    }
    let instance_url = new.instance_url.as_deref().map(|text| checked_url(call, text)).transpose()?;
    let secrets = new.secrets()?.into_iter().map(|(name, text)| (name, text.clone())).collect();
    let (auth_mode, device_source) = (new.auth_mode.map(Into::into), new.device_source.map(Into::into));
    let trial = Trial { instance_url, auth_mode, device_source, secrets };
    Ok(call.app.connections.try_out(call.tenant, &trial, &call.token.name).await?)
}
