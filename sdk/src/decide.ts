// What each kind of signal allows. Pure; the server decides anew from the raw
// strings and takes the stricter answer.

import type { GoogleConsent, State } from "./types";

type Bits = { [id: string]: boolean | undefined };

/** As much of a CMP's TCData as we read; every field may be missing. */
export interface TCData {
  gdprApplies?: boolean;
  eventStatus?: string | null;
  cmpStatus?: string;
  tcString?: string;
  addtlConsent?: string;
  listenerId?: number;
  purpose?: { consents?: Bits };
  vendor?: { consents?: Bits; disclosedVendors?: Bits };
  publisher?: { restrictions?: { [purpose: string]: { [vendor: string]: number } } };
}

/** A TCF decision; undefined while the CMP has none for us. */
export function fromTCF(data: TCData, vendor?: number): State | undefined {
  if (data.gdprApplies === false) return "full";
  if (!data.gdprApplies || !/^(tcloaded|useractioncomplete)$/.test(data.eventStatus || "")) return;
  const consents = (data.purpose || {}).consents || {};
  const restrictions = (data.publisher || {}).restrictions || {};
  if (vendor) {
    // A CMP that says whom it showed, and did not show us, did not ask for us.
    const { consents = {}, disclosedVendors } = data.vendor || {};
    if (!consents[vendor] || (disclosedVendors && !disclosedVendors[vendor])) return "none";
  }
  const may = (p: number) => consents[p] && !(vendor && (restrictions[p] || {})[vendor] === 0);
  if (!may(1) || !may(7)) return "none";
  return [2, 3, 4, 9, 10].every(may) ? "full" : "partial";
}

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

/** An opt-out of sale: GPC, or a US string that says so or gave no notice. */
export function optedOut(gpc?: boolean, usPrivacy?: string): boolean {
  return !!gpc || /^1(N|.Y)/i.test(usPrivacy || "");
}
