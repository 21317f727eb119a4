// What each kind of signal allows. Pure; the server decides anew from the raw
// strings and takes the stricter answer.

import { stricter } from "../consent";
import type { State } from "../types";

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

function byPurpose(may: (purpose: number) => unknown): State {
  if (!may(1) || !may(7)) return "none";
  return [2, 3, 4, 9, 10].every(may) ? "full" : "partial";
}

/** A TCF decision; undefined while the CMP has none for us. */
export function fromTCF(data: TCData, vendor?: number): State | undefined {
  if (data.gdprApplies === false) return "full";
  if (!data.gdprApplies || !/^(tcloaded|useractioncomplete)$/.test(data.eventStatus || "")) return;
  const consents = data.purpose?.consents || {};
  const { restrictions = {} } = data.publisher || {};
  if (vendor) {
    // A CMP that says whom it showed, and did not show us, did not ask for us.
    const { consents = {}, disclosedVendors } = data.vendor || {};
    if (!consents[vendor] || (disclosedVendors && !disclosedVendors[vendor])) return "none";
  }
  return byPurpose((p) => consents[p] && !(vendor && restrictions[p]?.[vendor] === 0));
}

// What a field of an American section says against sharing: opted out (an
// undefined 3 counts as that), not told, a child, somebody else's service provider.
const against: [RegExp, unknown, State][] = [
  [/^KnownChild/, 1, "none"],
  [/^(Sale|Sharing|Targeted\w+)OptOut$|ProviderMode$/, 1, "partial"],
  [/^(Sale|Sharing|Targeted\w+)OptOut$/, 3, "partial"],
  [/^(Sale|Sharing|Targeted\w+?)(OptOut)?Notice$/, 2, "partial"],
  [/^Gpc$/, true, "partial"],
];

/**
 * A GPP decision from the sections in force. The European section is a TC string
 * of its own; the American ones allow unless something speaks against it.
 */
export function fromGPP(sections: { [prefix: string]: unknown } = {}, ids: number[] = [], vendor?: number): State {
  let state: State = "full";
  const most = (limit: State) => (state = stricter(state, limit));
  const prefixes = Object.keys(sections);
  for (const prefix of prefixes) {
    const fields = Object.assign({}, ...[sections[prefix]].flat());
    if (prefix == "tcfeuv2") {
      const { PurposeConsents = [], VendorConsents = [] } = fields;
      most(vendor && !VendorConsents.includes(vendor) ? "none" : byPurpose((p) => PurposeConsents[p - 1]));
    }
    for (const name of Object.keys(fields)) {
      for (const [field, value, limit] of against) if (field.test(name) && [fields[name]].flat().includes(value)) most(limit);
    }
  }
  // One that is in force and that nobody can read is no permission to share.
  return ids.filter((id) => id > 0).length > prefixes.length ? most("partial") : state;
}
