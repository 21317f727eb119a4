// Consent Mode's four words, to and from our states.

import type { GoogleConsent, State } from "./types";

/** A Consent Mode decision; personalisation alone is left to each partner. */
export function fromGoogle(gcm: GoogleConsent): State {
  if (gcm.analytics_storage != "granted") return "none";
  return gcm.ad_storage == "granted" && gcm.ad_user_data == "granted" ? "full" : "partial";
}

/** A choice of ours in Consent Mode's words, for partners that speak only those. */
export function toGoogle(state: State): GoogleConsent {
  const ads = state == "full" ? "granted" : "denied";
  return {
    ad_storage: ads,
    ad_user_data: ads,
    ad_personalization: ads,
    analytics_storage: state == "none" ? "denied" : "granted",
  };
}
